// Who has connections to a server, or clients whose connection there was closed: while it is drained they may
// open further ones, and nobody else. Its Server's, for as long as the configuration names that server.
// Thread-safe: a mutex, taken when a connection is opened and when it is closed.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace imapmux::backend {

class UsersThere {
 public:
  // Lasts as long as the connection, and the clients that it was for; may outlive the server.
  using Stay = std::shared_ptr<void>;
  static Stay enter(const std::shared_ptr<UsersThere>& there, std::string login_name);
  bool has(std::string_view login_name) const;

 private:
  void leave(const std::string& login_name);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, uint32_t> connections_;  // by login name in lower case
};

}  // namespace imapmux::backend
