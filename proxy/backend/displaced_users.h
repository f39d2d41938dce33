// Who went to another server than his own (that was down, or drained), and is brought back: one user a second
// and server, so that one that has just come back is not overrun. A backend's, also over reloads.
// Thread-safe: a mutex, taken at logins and when a connection is opened. Memory is bounded: beyond it users
// go back as they come.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/time.h"

namespace imapmux::backend {

class DisplacedUsers {
 public:
  static constexpr base::Millis kBetweenReturns{1'000};
  static constexpr size_t kMostUsers = 100'000;

  // He is logged in there. Servers go by their endpoint.
  void went_away(const std::string& login_name, std::string server);
  void is_home(const std::string& login_name);
  // Nothing: he is at home, for all that is known.
  std::optional<std::string> whereabouts(const std::string& login_name) const;
  // True: he is no longer displaced, and the next one of this home has to wait. False: it is not his turn
  // yet.
  bool bring_back(const std::string& login_name, const std::string& home, base::Instant now);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::string> servers_;  // by login name
  std::map<std::string, base::Instant> next_return_;      // by home
};

}  // namespace imapmux::backend
