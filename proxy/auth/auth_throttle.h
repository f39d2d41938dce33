// How long the answer to a failed login is delayed: grows with the failures of an address and of a name.
// One for the process; thread-safe (a mutex: failures only, not on the data path). Memory is bounded.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/time.h"

namespace imapmux::auth {

class AuthThrottle {
 public:
  AuthThrottle();
  ~AuthThrottle();
  // Notes a failure; returns the delay before the answer: `base` times the failures that address or name has
  // had in a row (whichever is more), at most 15 s. `address` empty (trusted network, unix socket): the name
  // alone counts. What an address that succeeded with the name before does wrong is its own failure only.
  base::Millis failed(std::optional<base::IpAddress> address, std::string_view user, base::Millis base,
                      base::Instant now);
  // How long an attempt has to wait before the backend is asked: hanging up on the delayed answer must not
  // buy the next guess. 0: it may go on, and the next one of an address or name with failures waits its
  // delay. For a name, addresses that have succeeded with it before are excepted.
  base::Millis admit(std::optional<base::IpAddress> address, std::string_view user, base::Millis base,
                     base::Instant now);
  // An attempt that was admitted has not failed so far, and is admitted once more by who has the last word.
  void not_decided(std::optional<base::IpAddress> address, std::string_view user);
  // How long admit() would say now; nothing goes on.
  base::Millis hold(std::optional<base::IpAddress> address, std::string_view user, base::Instant now);
  // What is known of an address and a name. Suspect: the name had three failures in a row, and this address
  // has never succeeded with it.
  enum class Standing : uint8_t { kKnown, kStranger, kSuspect };
  Standing standing(std::optional<base::IpAddress> address, std::string_view user);
  // A success forgets the address's failures; and the name's, unless it comes from where it succeeded before:
  // the owner's clients, which log in all the time, must not set those who guess free.
  void succeeded(std::optional<base::IpAddress> address, std::string_view user);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace imapmux::auth
