// Which backend a login goes to, and under which name. Pure: no state, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace imapmux::routing {

struct LoginFacts {
  std::string_view user = {};                  // as the client gave it
  std::string_view listener = {};              // name
  std::optional<base::IpAddress> source = {};  // nothing for unix sockets: no source network matches
  std::string_view sni = {};                   // empty: none was sent
};

struct Target {
  const config::Backend* backend = nullptr;  // owned by the Config
  std::string login_name;                    // after login_as, spaces around it trimmed
  std::string reason;  // which route, for `check --route`: "route 2 (line 41): user *@x matches"
  // Who must be asked first: it may refuse the login, or change the name and the server. Null: nobody.
  const config::AuthHttp* auth_http = nullptr;  // owned by the Config
  // In place of the backend's own, as that service said.
  std::optional<base::Endpoint> server{};
};

// The first route that matches; nothing: the login is refused.
std::optional<Target> route(const config::Config& config, const LoginFacts& facts);

// What `imapmux check --route USER` prints: why the routes before it did not match, the route that does, the
// backend, the login name, and the servers in their order with why. Several lines, each with its newline.
std::string explain(const config::Config& config, const LoginFacts& facts);

// The index into backend.servers where a user belongs: the same for the same name in every process, and when
// a server is added or removed only its share of users moves (rendezvous hashing). The order of preference:
// first entry = home.
std::vector<size_t> server_preference(const config::Backend& backend, std::string_view login_name);

}  // namespace imapmux::routing
