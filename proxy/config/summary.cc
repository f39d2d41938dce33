// What `imapmux check` prints for a valid configuration.
#include <fmt/format.h>

#include "config/choices.h"
#include "config/scalars.h"

namespace imapmux::config {

namespace {

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string describe(const Listener& listener) {
  std::vector<std::string> facts;
  std::vector<std::string> mechanisms;
  if (listener.auth_plain) mechanisms.emplace_back("PLAIN");
  if (listener.auth_login) mechanisms.emplace_back("LOGIN");
  if (listener.auth_xoauth2) mechanisms.emplace_back("XOAUTH2");
  if (listener.auth_oauthbearer) mechanisms.emplace_back("OAUTHBEARER");
  facts.push_back(fmt::format("tls {}", name_of(listener.tls, kListenerTlsChoices)));
  facts.push_back("auth " + joined(mechanisms, " "));
  if (listener.tls == ListenerTls::kStarttls) {
    facts.push_back(
        fmt::format("plaintext login {}", name_of(listener.allow_plaintext_login, kPlaintextLoginChoices)));
  }
  if (!listener.client_ca.empty()) facts.emplace_back("client certificates");
  if (!listener.proxy_protocol.empty()) {
    std::vector<std::string> proxies;
    for (const base::Network& network : listener.proxy_protocol) proxies.push_back(network.to_string());
    facts.push_back("PROXY header from " + joined(proxies, " "));
  }
  return fmt::format("  {}: {}, {}", listener.name, listener.bind.to_string(), joined(facts, ", "));
}

std::string describe(const Backend& backend) {
  std::vector<std::string> servers;
  for (const base::Endpoint& server : backend.servers) servers.push_back(server.to_string());
  if (servers.empty()) servers.emplace_back("servers as auth_http says");
  std::vector<std::string> facts{joined(servers, " "),
                                 fmt::format("tls {}", name_of(backend.tls, kBackendTlsChoices))};
  if (backend.tls != BackendTls::kNone)
    facts.back() += fmt::format(" (verify {})", name_of(backend.tls_verify, kTlsVerifyChoices));
  facts.push_back(fmt::format("{} access", name_of(backend.access, kMailboxAccessChoices)));
  if (backend.access != MailboxAccess::kUnrestricted) {
    facts.push_back(fmt::format("conflicts {}", name_of(backend.conflicts, kConflictsChoices)));
  }
  facts.push_back(backend.connections_per_user == 0
                      ? "any number of connections per user"
                      : fmt::format("{} connections per user", backend.connections_per_user));
  if (backend.max_connections != 0) facts.push_back(fmt::format("{} per server", backend.max_connections));
  if (!backend.master_user.empty()) facts.push_back("master user " + backend.master_user);
  return fmt::format("  {}: {}", backend.name, joined(facts, ", "));
}

std::string describe(const Route& route, size_t number) {
  std::vector<std::string> conditions;
  if (route.user) conditions.push_back("user " + *route.user);
  if (route.listener) conditions.push_back("listener " + *route.listener);
  std::vector<std::string> networks;
  for (const base::Network& network : route.source) networks.push_back(network.to_string());
  if (!networks.empty()) conditions.push_back("source " + joined(networks, " "));
  if (route.sni) conditions.push_back("sni " + *route.sni);
  if (!route.users_file.empty()) conditions.push_back(fmt::format("{} users of a file", route.users.size()));
  const std::string who = conditions.empty() ? "everybody" : joined(conditions, ", ");
  const std::string target = route.users_file.empty() ? route.backend : "as the file says";
  const std::string asked = route.auth_http ? ", as " + route.auth_http->url + " says" : "";
  const std::string login = route.login_as.empty() ? "" : ", login as " + route.login_as;
  return fmt::format("  {}. {} -> {}{}{}", number, who, target, asked, login);
}

std::string describe(const Certificate& certificate) {
  const std::string names = certificate.names.empty() ? "the default" : joined(certificate.names, " ");
  return fmt::format("  {}: {}", names, certificate.certificate);
}

}  // namespace

std::string summary(const Config& config) {
  std::vector<std::string> lines{fmt::format("workers: {}", config.workers)};
  if (config.admin) lines.push_back("admin: " + config.admin->to_string());
  if (!config.takeover.socket.empty()) lines.push_back("takeover: " + config.takeover.socket);
  if (!config.certificates.empty()) lines.emplace_back("certificates:");
  for (const Certificate& certificate : config.certificates) lines.push_back(describe(certificate));
  lines.emplace_back("listeners:");
  for (const Listener& listener : config.listeners) lines.push_back(describe(listener));
  lines.emplace_back("backends:");
  for (const auto& [name, backend] : config.backends) lines.push_back(describe(backend));
  lines.emplace_back("routes:");
  for (size_t i = 0; i < config.routes.size(); ++i) lines.push_back(describe(config.routes[i], i + 1));
  return joined(lines, "\n") + "\n";
}

}  // namespace imapmux::config
