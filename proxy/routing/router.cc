#include "routing/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/bytes.h"
#include "routing/decision.h"
#include "routing/pattern.h"

namespace imapmux::routing {

namespace {

bool is_acceptable(std::string_view user) {
  return !user.empty() && !base::has_control(user);
}

bool has_source(const config::Route& route, const std::optional<base::IpAddress>& source) {
  if (!source) return false;
  return std::any_of(route.source.begin(), route.source.end(),
                     [&](const base::Network& network) { return network.contains(*source); });
}

// The first condition that does not hold; empty if all do.
std::string failed_condition(const config::Route& route, const LoginFacts& facts) {
  if (route.user && !matches_pattern(*route.user, facts.user)) {
    return fmt::format("user {} does not match", *route.user);
  }
  if (route.listener && *route.listener != facts.listener) {
    return fmt::format("only for listener {}", *route.listener);
  }
  if (!route.source.empty() && !has_source(route, facts.source)) return "only for other source addresses";
  if (route.sni && (facts.sni.empty() || !matches_pattern(*route.sni, facts.sni))) {
    return fmt::format("only for sni {}", *route.sni);
  }
  return {};
}

std::string held_conditions(const config::Route& route) {
  std::vector<std::string> held;
  if (route.user) held.push_back("user " + *route.user);
  if (route.listener) held.push_back("listener " + *route.listener);
  if (!route.source.empty()) held.emplace_back("source address");
  if (route.sni) held.push_back("sni " + *route.sni);
  if (!route.users_file.empty()) held.push_back("an entry of " + route.users_file);
  if (held.empty()) return "matches everybody";
  return fmt::format("{} {}", fmt::join(held, ", "), held.size() == 1 ? "matches" : "match");
}

std::string name_of(const config::Route& route, size_t index) {
  if (route.line == 0) return "the default route";  // it does not stand in the file
  return fmt::format("route {} (line {})", index + 1, route.line);
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::string_view placeholder_value(std::string_view name, std::string_view user) {
  const size_t at = user.rfind('@');
  if (name == "local") return user.substr(0, at);
  if (name == "domain") return at == std::string_view::npos ? std::string_view() : user.substr(at + 1);
  return user;
}

std::string login_name(std::string_view login_as, std::string_view user) {
  if (login_as.empty()) return std::string(trimmed(user));
  std::string out;
  while (!login_as.empty()) {
    const size_t open = std::min(login_as.find('{'), login_as.size());
    out += login_as.substr(0, open);
    login_as.remove_prefix(open);
    if (login_as.empty()) break;
    const size_t close = std::min(login_as.find('}'), login_as.size() - 1);
    out += placeholder_value(login_as.substr(1, close - 1), user);
    login_as.remove_prefix(close + 1);
  }
  return std::string(trimmed(out));
}

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/. Written out because it must never change:
// users would move to other servers.
uint64_t fnv1a(uint64_t hash, std::string_view octets) {
  for (const char c : octets) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// MurmurHash3's finalizer: FNV leaves the high bits of short, similar texts alike.
uint64_t mix(uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return hash ^ (hash >> 33);
}

uint64_t weight(std::string_view user, const base::Endpoint& server) {
  constexpr uint64_t kOffsetBasis = 0xcbf29ce484222325ULL;
  const uint64_t after_user = fnv1a(fnv1a(kOffsetBasis, user), std::string_view("\0", 1));
  return mix(fnv1a(after_user, base::lower(server.to_string())));
}

// The target of a route whose conditions hold; nothing if its users file has no entry.
struct Destination {
  std::string_view backend;
  std::string_view login_as;
};

std::optional<Destination> destination(const config::Route& route, std::string_view user) {
  if (route.users_file.empty()) return Destination{route.backend, route.login_as};
  const auto entry = route.users.find(base::lower(user));
  if (entry == route.users.end()) return std::nullopt;
  const std::string& own = entry->second.login_as;
  return Destination{entry->second.backend, own.empty() ? route.login_as : own};
}

}  // namespace

Decision decide(const config::Config& config, const LoginFacts& facts) {
  Decision decision;
  if (!is_acceptable(facts.user)) {
    decision.refusal = "the user name is empty or has control characters";
    return decision;
  }
  for (size_t i = 0; i < config.routes.size(); ++i) {
    const config::Route& route = config.routes[i];
    std::string failed = failed_condition(route, facts);
    const auto found = failed.empty() ? destination(route, facts.user) : std::nullopt;
    if (failed.empty() && !found) failed = "no entry in " + route.users_file;
    if (!found) {
      decision.passed_over.push_back(fmt::format("{}: {}", name_of(route, i), failed));
      continue;
    }
    const auto backend = config.backends.find(std::string(found->backend));
    Target target{.backend = backend == config.backends.end() ? nullptr : &backend->second,
                  .login_name = login_name(found->login_as, facts.user),
                  .reason = fmt::format("{}: {}", name_of(route, i), held_conditions(route)),
                  .auth_http = route.auth_http ? &*route.auth_http : nullptr};
    if (target.login_name.empty())
      decision.refusal = target.reason + ", but the login name becomes empty";
    else if (target.backend == nullptr)
      decision.refusal = target.reason + ", but its backend does not exist";
    else
      decision.target = std::move(target);
    return decision;
  }
  decision.refusal = "no route matches";
  return decision;
}

std::optional<Target> route(const config::Config& config, const LoginFacts& facts) {
  return std::move(decide(config, facts).target);
}

std::vector<size_t> server_preference(const config::Backend& backend, std::string_view login_name) {
  if (backend.servers.size() == 1) return {0};
  const std::string user = base::lower(login_name);
  std::vector<uint64_t> weights;
  weights.reserve(backend.servers.size());
  for (const base::Endpoint& server : backend.servers) weights.push_back(weight(user, server));
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return weights[a] != weights[b] ? weights[a] > weights[b] : a < b; });
  return order;
}

}  // namespace imapmux::routing
