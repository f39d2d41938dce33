// routes: who goes to which backend.
#include <algorithm>
#include <array>

#include "config/readers.h"
#include "config/sections.h"

namespace imapmux::config {

namespace {

template <auto kMember>
void read_optional(const Value& value, Route& route) {
  if (auto text = value.text()) route.*kMember = std::move(*text);
}

void read_login_as(const Value& value, Route& route) {
  auto text = value.text();
  if (!text) return;
  check_login_as(value, *text);
  route.login_as = std::move(*text);
}

// The file itself is read when the rest of the route is known.
void read_users_path(const Value& value, Route& route) {
  if (const auto text = value.text("the path of a file")) {
    route.users_file = resolve_path(*text, value.source().directory);
  }
}

constexpr std::array kRouteKeys = std::to_array<Key<Route>>({
    {"user", read_optional<&Route::user>, "pattern", "(any)", Reload::kApplies,
     "The name as the client gives it: * for any characters, ? for one; upper and lower case are the same."},
    {"listener", read_optional<&Route::listener>, "text", "(any)", Reload::kApplies,
     "The name of the listener that the client came to."},
    {"source", read_networks<&Route::source>, "list of networks", "[]", Reload::kApplies,
     "Networks that the client comes from."},
    {"sni", read_optional<&Route::sni>, "pattern", "(any)", Reload::kApplies,
     "The server name that the client sent in the TLS handshake."},
    {"backend", read_text<&Route::backend>, "text", "(this or users_file)", Reload::kApplies,
     "The backend for those who match."},
    {"auth_http", read_auth_http, "URL, map", kNoDefault, Reload::kApplies,
     "A service that is asked at each login who may come in, on which server, and under which name, by the "
     "protocol of nginx's auth_http (explained below). Needs backend, whose settings hold for the servers "
     "that "
     "it names."},
    {"login_as", read_login_as, "text", "(as given)", Reload::kApplies,
     "The name on the backend: {user} as given, {local} before the last @, {domain} behind it."},
    {"users_file", read_users_path, "file", "(this or backend)", Reload::kApplies,
     "YAML file with USER: BACKEND or USER: {backend: NAME, login_as: NAME}. A user without an entry: the "
     "next "
     "route."},
});

void check_references(const Map& map, const Config& config, const Route& route) {
  if (!route.backend.empty() && !config.backends.contains(route.backend)) {
    map.near("backend").error(fmt::format("there is no backend {}", quoted(route.backend)));
  }
  if (!route.auth_http) check_has_servers(map.near("backend"), config, route.backend);
  if (!route.listener) return;
  const bool found = std::any_of(config.listeners.begin(), config.listeners.end(),
                                 [&](const Listener& listener) { return listener.name == *route.listener; });
  if (!found) map.near("listener").error(fmt::format("there is no listener {}", quoted(*route.listener)));
}

bool matches_everything(const Route& route) {
  const bool any_user = !route.user || route.user->find_first_not_of('*') == std::string::npos;
  return any_user && !route.listener && route.source.empty() && !route.sni && route.users_file.empty();
}

void read_route(const Value& value, Config& config) {
  Route route;
  route.line = value.place().line;
  const auto map = read_keys<Route>(value, kRouteKeys, route);
  if (!map) return;
  const bool has_backend = map->find("backend") != nullptr;
  const bool has_users = map->find("users_file") != nullptr;
  if (has_backend && has_users)
    map->near("users_file").error_at_name("backend is given as well; only one may be");
  if (!has_backend && !has_users && !route.auth_http) value.error("needs backend or users_file");
  if (has_users && !route.users_file.empty()) read_users_file(map->near("users_file"), config, route);
  if (route.auth_http && !has_backend) map->near("auth_http").error_at_name("needs backend");
  if (route.auth_http) note_auth_http(map->near("auth_http"), *route.auth_http, config);
  check_references(*map, config, route);
  const auto earlier = std::find_if(config.routes.begin(), config.routes.end(), matches_everything);
  if (earlier != config.routes.end()) {
    value.warning(fmt::format("can never match: the route on line {} matches everything", earlier->line));
  }
  config.routes.push_back(std::move(route));
}

}  // namespace

void check_has_servers(const Value& value, const Config& config, const std::string& backend) {
  const auto found = config.backends.find(backend);
  if (found == config.backends.end() || !found->second.servers.empty()) return;
  value.error(fmt::format("backend {} has no servers: only a route with auth_http may lead there", backend));
}

void check_login_as(const Value& value, std::string_view login_as) {
  while (!login_as.empty()) {
    const size_t open = login_as.find_first_of("{}");
    if (open == std::string_view::npos) return;
    const size_t close = login_as.find('}', open);
    const std::string_view placeholder =
        login_as.substr(open, close - open + (close != std::string_view::npos));
    if (placeholder != "{user}" && placeholder != "{local}" && placeholder != "{domain}") {
      return value.error(fmt::format("{} is none of {{user}}, {{local}}, {{domain}}", quoted(placeholder)));
    }
    login_as.remove_prefix(close + 1);
  }
}

void read_routes(const Value& value, Config& config) {
  const auto items = value.items();
  if (!items) return;
  if (items->empty()) return value.error("must hold at least one route; without one nobody can log in");
  for (const Value& item : *items) read_route(item, config);
}

void add_default_route(const Value& whole, Config& config) {
  if (config.backends.empty()) return;
  if (config.backends.size() > 1) {
    whole.source().problems.error(whole.place(), "routes: is required with more than one backend");
    return;
  }
  Route route;
  route.backend = config.backends.begin()->first;
  if (config.backends.begin()->second.servers.empty())
    whole.source().problems.error(whole.place(),
                                  fmt::format("backends.{}.servers: is required", route.backend));
  config.routes.push_back(std::move(route));
}

void append_route_keys(std::vector<KeyInfo>& out) {
  append_keys<Route>(kRouteKeys, "routes[].", out);
  append_auth_http_keys(out);
}

}  // namespace imapmux::config
