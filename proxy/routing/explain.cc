#include <fmt/format.h>

#include "routing/decision.h"

namespace imapmux::routing {

namespace {

std::string_view role_of(size_t rank, const config::Backend& backend) {
  if (backend.servers.size() == 1) return "the only server";
  if (rank == 0) return "home: the first by the hash of login name and server";
  return backend.failover ? "when those before it are down" : "never: failover is off";
}

std::string describe(const Target& target) {
  std::string out = fmt::format("  {}\n  backend: {}\n  login name: {}\n", target.reason,
                                target.backend->name, target.login_name);
  if (target.auth_http)
    out += fmt::format("  as {} says, which may refuse the login, or name another server or login name\n",
                       target.auth_http->url);
  if (target.backend->servers.empty()) return out;
  const auto order = server_preference(*target.backend, target.login_name);
  for (size_t rank = 0; rank < order.size(); ++rank) {
    out += fmt::format("  server {}: {} ({})\n", rank + 1, target.backend->servers[order[rank]].to_string(),
                       role_of(rank, *target.backend));
  }
  return out;
}

// Names from a command line or a file go to a terminal.
std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

}  // namespace

std::string explain(const config::Config& config, const LoginFacts& facts) {
  const Decision decision = decide(config, facts);
  std::string out = fmt::format("user {}:\n", printable(facts.user));
  for (const std::string& line : decision.passed_over) out += fmt::format("  not {}\n", line);
  if (decision.target) return out + describe(*decision.target);
  return out + fmt::format("  refused: {}\n", decision.refusal);
}

}  // namespace imapmux::routing
