#include "app/changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "app/listening.h"
#include "config/readers.h"

namespace imapmux::app {
namespace {

using config::Backend;
using config::Config;
using config::Limits;
using config::Listener;

template <class Section>
struct Field {
  std::string_view key;
  bool (*same)(const Section&, const Section&);
};

template <auto kMember>
bool same(const config::Owner<kMember>& a, const config::Owner<kMember>& b) {
  return a.*kMember == b.*kMember;
}

bool same_mechanisms(const Listener& a, const Listener& b) {
  return a.auth_plain == b.auth_plain && a.auth_login == b.auth_login && a.auth_xoauth2 == b.auth_xoauth2 &&
         a.auth_oauthbearer == b.auth_oauthbearer;
}

bool same_login(const Backend& a, const Backend& b) {
  return a.mechanism == b.mechanism && a.master_user == b.master_user &&
         a.master_password == b.master_password;
}

constexpr std::array kListenerFields = std::to_array<Field<Listener>>({
    {"name", same<&Listener::name>},
    {"mode", same<&Listener::mode>},
    {"tls", same<&Listener::tls>},
    {"auth", same_mechanisms},
    {"client_ca", same<&Listener::client_ca>},
    {"min_protocol", same<&Listener::min_protocol>},
    {"allow_plaintext_login", same<&Listener::allow_plaintext_login>},
    {"proxy_protocol", same<&Listener::proxy_protocol>},
});

constexpr std::array kBackendFields = std::to_array<Field<Backend>>({
    {"servers", same<&Backend::servers>},
    {"failover", same<&Backend::failover>},
    {"tls", same<&Backend::tls>},
    {"tls_verify", same<&Backend::tls_verify>},
    {"ca", same<&Backend::ca>},
    {"server_name", same<&Backend::server_name>},
    {"min_protocol", same<&Backend::min_protocol>},
    {"ciphers", same<&Backend::ciphers>},
    {"login", same_login},
    {"mailbox_access", same<&Backend::access>},
    {"conflicts", same<&Backend::conflicts>},
    {"share_credentials", same<&Backend::share_credentials>},
    {"connections_per_user", same<&Backend::connections_per_user>},
    {"max_connections", same<&Backend::max_connections>},
    {"lease_wait", same<&Backend::lease_wait>},
    {"poll_interval", same<&Backend::poll_interval>},
    {"yield_after", same<&Backend::yield_after>},
    {"max_hold", same<&Backend::max_hold>},
    {"min_hold", same<&Backend::min_hold>},
    {"linger", same<&Backend::linger>},
    {"credential_ttl", same<&Backend::credential_ttl>},
    {"account_linger", same<&Backend::account_linger>},
    {"backend_wait", same<&Backend::backend_wait>},
    {"connect_timeout", same<&Backend::connect_timeout>},
    {"command_timeout", same<&Backend::command_timeout>},
    {"uidnext", same<&Backend::uid_next>},
    {"source_addresses", same<&Backend::source_addresses>},
    {"send_proxy", same<&Backend::send_proxy>},
    {"send_client_id", same<&Backend::send_client_id>},
    {"shared_namespaces", same<&Backend::shared_namespaces>},
    {"mailbox_aliases", same<&Backend::mailbox_aliases>},
    {"hide_capabilities", same<&Backend::hide_capabilities>},
    {"health_check", same<&Backend::health_check>},
});

constexpr std::array kLimitFields = std::to_array<Field<Limits>>({
    {"max_clients", same<&Limits::max_clients>},
    {"max_clients_per_address", same<&Limits::max_clients_per_address>},
    {"max_clients_per_user", same<&Limits::max_clients_per_user>},
    {"trusted_networks", same<&Limits::trusted_networks>},
    {"max_command_size", same<&Limits::max_command_size>},
    {"max_message_size", same<&Limits::max_message_size>},
    {"max_backlog", same<&Limits::max_backlog>},
    {"max_spool", same<&Limits::max_spool>},
    {"login_timeout", same<&Limits::login_timeout>},
    {"idle_timeout", same<&Limits::idle_timeout>},
    {"idle_keepalive", same<&Limits::idle_keepalive>},
    {"tcp_keepalive", same<&Limits::tcp_keepalive>},
    {"auth_failure_delay", same<&Limits::auth_failure_delay>},
});

bool same_log(const Config& a, const Config& b) {
  return a.log_level == b.log_level && a.log_format == b.log_format && a.trace == b.trace;
}

bool same_drain(const Config& a, const Config& b) {
  return a.takeover.drain == b.takeover.drain;
}

constexpr std::array kProcessFields = std::to_array<Field<Config>>({
    {"shutdown_grace", same<&Config::shutdown_grace>},
    {"log", same_log},
    {"admin.token", same<&Config::admin_token>},
    {"admin.metrics_token", same<&Config::admin_metrics_token>},
    {"takeover.drain", same_drain},
    {"routes", same<&Config::routes>},
});

bool same_takeover_socket(const Config& a, const Config& b) {
  return a.takeover.socket == b.takeover.socket;
}

bool same_spool_directory(const Config& a, const Config& b) {
  return a.limits.spool_directory == b.limits.spool_directory;
}

constexpr std::array kFixedFields = std::to_array<Field<Config>>({
    {"workers", same<&Config::workers>},
    {"admin.bind", same<&Config::admin>},
    {"takeover.socket", same_takeover_socket},
    {"limits.spool_directory", same_spool_directory},
});

template <class Section>
std::vector<std::string_view> differing(std::span<const Field<Section>> fields, const Section& a,
                                        const Section& b) {
  std::vector<std::string_view> keys;
  for (const auto& field : fields)
    if (!field.same(a, b)) keys.push_back(field.key);
  return keys;
}

// "listener imap: changed: tls, auth"; nothing if nothing is different.
template <class Section>
void add_changed(Changes& changes, const std::string& what, std::span<const Field<Section>> fields,
                 const Section& a, const Section& b) {
  if (a == b) return;
  const auto keys = differing(fields, a, b);
  changes.made.push_back(fmt::format("{}: changed: {}", what, fmt::join(keys, ", ")));
}

const Listener* find_listener(const std::vector<Listener>& all, const std::string& id) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return socket_id(one) == id; });
  return found == all.end() ? nullptr : &*found;
}

void add_listeners(Changes& changes, const std::vector<Listener>& before,
                   const std::vector<Listener>& after) {
  for (const auto& old : before) {
    const auto* now = find_listener(after, socket_id(old));
    if (now) {
      add_changed<Listener>(changes, "listener " + old.name, kListenerFields, old, *now);
    } else {
      changes.made.push_back(fmt::format("listener {}: removed, {}", old.name, old.bind.to_string()));
    }
  }
  for (const auto& now : after)
    if (!find_listener(before, socket_id(now)))
      changes.made.push_back(fmt::format("listener {}: added, {}", now.name, now.bind.to_string()));
}

void add_certificates(Changes& changes, const session::Service& before, const session::Service& after) {
  for (const auto& [file, fingerprint] : after.certificates) {
    const auto old = before.certificates.find(file);
    if (old == before.certificates.end()) {
      changes.made.push_back(fmt::format("certificate {}: added, SHA-256 {}", file, fingerprint));
    } else if (old->second != fingerprint) {
      changes.made.push_back(fmt::format("certificate {}: replaced, SHA-256 {}", file, fingerprint));
    }
  }
  for (const auto& [file, fingerprint] : before.certificates)
    if (!after.certificates.contains(file))
      changes.made.push_back(fmt::format("certificate {}: removed", file));
}

void add_backends(Changes& changes, const std::map<std::string, Backend>& before,
                  const std::map<std::string, Backend>& after) {
  for (const auto& [name, old] : before) {
    if (const auto now = after.find(name); now != after.end()) {
      add_changed<Backend>(changes, "backend " + name, kBackendFields, old, now->second);
    } else {
      changes.made.push_back(fmt::format("backend {}: removed, its sessions go on to their end", name));
    }
  }
  for (const auto& [name, now] : after)
    if (!before.contains(name)) changes.made.push_back(fmt::format("backend {}: added", name));
}

}  // namespace

Changes changes_between(const session::Service& before, const session::Service& after,
                        const config::Config& started) {
  const auto& old = *before.config;
  const auto& now = *after.config;
  Changes changes;
  add_listeners(changes, old.listeners, now.listeners);
  add_certificates(changes, before, after);
  add_backends(changes, old.backends, now.backends);
  add_changed<Limits>(changes, "limits", kLimitFields, old.limits, now.limits);
  for (const auto key : differing<Config>(kProcessFields, old, now))
    changes.made.push_back(fmt::format("{}: changed", key));
  for (const auto key : differing<Config>(kFixedFields, started, now))
    changes.needs_restart.emplace_back(key);
  return changes;
}

}  // namespace imapmux::app
