#include "admin/status_json.h"

#include <fmt/core.h>

#include <map>
#include <nlohmann/json.hpp>

namespace imapmux::admin {
namespace {

using nlohmann::json;
using Standing = backend::ServerHealth::Standing;

std::string_view name_of(mailbox::LeaseKind kind) {
  switch (kind) {
    case mailbox::LeaseKind::kSelect:
      return "select";
    case mailbox::LeaseKind::kExamine:
      return "examine";
    case mailbox::LeaseKind::kStatus:
      return "status";
    case mailbox::LeaseKind::kAppend:
      return "append";
    case mailbox::LeaseKind::kRestructure:
      return "restructure";
  }
  return "";
}

std::string_view name_of(Standing standing) {
  switch (standing) {
    case Standing::kUp:
      return "up";
    case Standing::kPassedOver:
      return "passed over";
    case Standing::kDown:
      return "down";
  }
  return "";
}

// A scope is "backend NUL u user", or "backend NUL" for shared namespaces.
std::pair<std::string, std::string> split_scope(const std::string& scope) {
  const auto end = scope.find('\0');
  if (end == std::string::npos) return {scope, ""};
  const auto rest = scope.substr(end + 1);
  return {scope.substr(0, end), rest.empty() ? "" : rest.substr(1)};
}

json millis(const std::optional<std::chrono::microseconds>& time) {
  return time ? json(static_cast<double>(time->count()) / 1000) : json();
}

json sessions_of(const session::Snapshot& snapshot) {
  json list = json::array();
  for (const auto& one : snapshot.all.sessions) {
    list.push_back({{"id", fmt::format("{:x}", one.id)},
                    {"client", one.client},
                    {"listener", one.listener},
                    {"tls", one.tls},
                    {"state", one.state},
                    {"user", one.user},
                    {"backend", one.backend},
                    {"account", one.login_name},
                    {"server", one.server},
                    {"mailbox", one.mailbox},
                    {"waiting_for", one.waiting_for},
                    {"commands", one.commands},
                    {"connected_ms", one.connected.count()},
                    {"idle_ms", one.idle.count()}});
  }
  return list;
}

json leases_of(const session::Snapshot& snapshot) {
  json list = json::array();
  for (const auto& one : snapshot.leases) {
    const auto [backend, user] = split_scope(one.scope);
    json holders = json::array();
    for (const auto& [holder, kind] : one.holders)
      holders.push_back({{"connection", holder}, {"kind", name_of(kind)}});
    list.push_back({{"backend", backend},
                    {"user", user},
                    {"mailbox", one.mailbox},
                    {"holders", std::move(holders)},
                    {"waiting", one.waiting}});
  }
  return list;
}

json connection(const mailbox::ConnectionStatus& one) {
  return {{"server", one.server},
          {"state", name_of(one.state)},
          {"mailbox", one.mailbox},
          {"waiting", one.waiting},
          {"age_ms", one.age.count()}};
}

json mailbox_of_account(const mailbox::MailboxStatus& one) {
  return {{"name", one.name},           {"holder", one.holder},     {"attached", one.attached},
          {"writing", one.for_writing}, {"waiting", one.attaching}, {"messages", one.messages},
          {"clients", one.clients},     {"idling", one.idling},     {"ghosts", one.ghosts}};
}

json accounts_of(const session::Snapshot& snapshot) {
  json list = json::array();
  for (const auto& one : snapshot.all.accounts) {
    json connections = json::array();
    for (const auto& each : one.connections) connections.push_back(connection(each));
    json mailboxes = json::array();
    for (const auto& each : one.mailboxes) mailboxes.push_back(mailbox_of_account(each));
    list.push_back({{"backend", one.backend},
                    {"account", one.login_name},
                    {"exclusive", one.is_private},
                    {"clients", one.sessions},
                    {"most_connections", one.most_connections},
                    {"connections", std::move(connections)},
                    {"mailboxes", std::move(mailboxes)}});
  }
  return list;
}

json servers_of(const session::Snapshot& snapshot) {
  json list = json::array();
  for (const auto& one : snapshot.servers) {
    json states = json::object();
    const auto found = snapshot.all.totals.connections.find({one.backend, one.server});
    for (size_t i = 0; i < mailbox::kConnectionStates; ++i)
      states[std::string(name_of(static_cast<mailbox::ConnectionState>(i)))] =
          found == snapshot.all.totals.connections.end() ? 0 : found->second.in[i];
    list.push_back({{"backend", one.backend},
                    {"server", one.server},
                    {"up", one.standing == Standing::kUp},
                    {"state", name_of(one.standing)},
                    {"draining", one.draining},
                    {"connections", one.connections},
                    {"connections_by_state", std::move(states)},
                    {"max_connections", one.max_connections},
                    {"waiting", one.waiting},
                    {"connects", one.connects},
                    {"connect_failures", one.failures},
                    {"connect_ms", millis(one.connect_time)},
                    {"answer_ms", millis(one.answer_time)},
                    {"times_down", one.times_down}});
  }
  return list;
}

json clients_by_state(const session::Snapshot& snapshot) {
  json states = json::object();
  for (size_t i = 0; i < session::kStates; ++i)
    states[std::string(name_of(static_cast<session::State>(i)))] = snapshot.all.clients_by_state[i];
  return states;
}

json durations(const base::Durations::Total& total) {
  json bounds = json::array();
  for (size_t i = 0; i < base::Durations::kBounds; ++i) bounds.push_back(base::Durations::bound_ms(i));
  return {{"bounds_ms", std::move(bounds)}, {"counts", total.counts}, {"sum_ms", total.millis}};
}

json octets(const session::Readings::Side& side) {
  return {{"received", side.received}, {"sent", side.sent}};
}

}  // namespace

std::string to_json(const session::Snapshot& snapshot) {
  const auto commands = snapshot.meters.all_commands();
  const auto& totals = snapshot.all.totals;
  const json all = {
      {"version", snapshot.version},
      {"ready", snapshot.ready},
      {"draining", snapshot.draining},
      {"uptime_ms", snapshot.uptime.count()},
      {"workers", snapshot.workers},
      {"clients", snapshot.clients},
      {"clients_waiting", snapshot.all.clients_waiting},
      {"clients_by_state", clients_by_state(snapshot)},
      {"clients_by_backend", totals.sessions},
      {"sessions_total", snapshot.sessions_total},
      {"clients_refused", snapshot.clients_refused},
      {"logins", snapshot.logins},
      {"logins_refused", snapshot.logins_refused},
      {"logins_unavailable", snapshot.logins_unavailable},
      {"commands", commands.count()},
      {"command_durations", durations(commands)},
      {"octets",
       {{"clients", octets(snapshot.meters.clients)}, {"backends", octets(snapshot.meters.backends)}}},
      {"in_use_answers", snapshot.in_use},
      {"retries", snapshot.meters.retries},
      {"contradictions", snapshot.meters.contradictions},
      {"hand_overs", snapshot.hand_overs},
      {"accounts_total", totals.accounts},
      {"mailboxes_attached", totals.mailboxes_attached},
      {"mailboxes_suspended", totals.mailboxes_suspended},
      {"ghosts", totals.ghosts},
      {"spooled", snapshot.spooled},
      {"leases_held", snapshot.leases_held},
      {"leases_waiting", snapshot.leases_waiting},
      {"servers", servers_of(snapshot)},
      {"accounts", accounts_of(snapshot)},
      {"sessions", sessions_of(snapshot)},
      {"leases", leases_of(snapshot)}};
  // A peer's octets need not be UTF-8.
  return all.dump(2, ' ', false, json::error_handler_t::replace);
}

}  // namespace imapmux::admin
