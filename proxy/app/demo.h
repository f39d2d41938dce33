// `imapmux demo`: an embedded legacy server with the proxy in front of it; `imapmux demo-server`: that server
// alone, for tests. Both run until SIGTERM or SIGINT.
#pragma once

#include <cstdint>
#include <string>

namespace imapmux::app {

struct DemoOptions {
  uint16_t port = 1143;
  std::string user = "demo";
  std::string password = "demo";
};
// Returns the exit status. Throws std::runtime_error.
int run_demo(const DemoOptions& options);

struct DemoServerOptions {
  uint16_t port = 0;
  std::string quirks;
  std::string user;
  std::string password;
  bool any_user = false;   // every name logs in, with itself as the password
  unsigned mailboxes = 1;  // INBOX, box1, box2, …; ten messages in each
};
// Prints "listening on 127.0.0.1:PORT" as its first line, and its violations as JSON as its last one.
int run_demo_server(const DemoServerOptions& options);

}  // namespace imapmux::app
