// Who may see and do what at the admin endpoint. Pure.
//
// A token is the one proof. Where none is needed (loopback, a unix socket), a browser on this host can reach
// the endpoint as well, and with it every page that it shows: such a page may neither act (a form or a fetch
// from elsewhere, known by its Origin, or because it can't send JSON without being asked first) nor read
// (a name of its own that it lets point here, known by the Host).
#pragma once

#include <string>
#include <string_view>

namespace imapmux::admin {

// Where the endpoint is bound.
enum class Way : uint8_t { kUnixSocket, kLoopback, kNetwork };

// What is judged of a request.
struct Visit {
  std::string authorization;  // headers
  std::string host;
  std::string origin;
  std::string content_type;
  Way way = Way::kLoopback;
};

enum class Access : uint8_t {
  kGranted,
  kTokenMissing,
  kForeignPage,
  kNotJson,  // only for actions
};

// Whether "Bearer TOKEN" is shown. False if there is no token.
bool shows_token(const Visit& visit, std::string_view token);
// The status. An empty token: there is none. (A reload may have taken it away where one is needed: then
// nobody may.)
Access may_look(const Visit& visit, std::string_view token);
Access may_act(const Visit& visit, std::string_view token);
// Metrics: everybody, unless they have a token; then the administrator's will do as well.
Access may_scrape(const Visit& visit, std::string_view metrics_token, std::string_view token);

}  // namespace imapmux::admin
