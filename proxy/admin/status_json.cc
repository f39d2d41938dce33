#include "admin/status_json.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace imapmux::admin {
namespace {

using nlohmann::json;

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

// A scope is "backend NUL u user", or "backend NUL" for shared namespaces.
std::pair<std::string, std::string> split_scope(const std::string& scope) {
  const auto end = scope.find('\0');
  if (end == std::string::npos) return {scope, ""};
  const auto rest = scope.substr(end + 1);
  return {scope.substr(0, end), rest.empty() ? "" : rest.substr(1)};
}

json sessions_of(const session::Snapshot& snapshot) {
  json list = json::array();
  for (const auto& one : snapshot.sessions) {
    list.push_back({{"id", fmt::format("{:x}", one.id)},
                    {"client", one.client},
                    {"listener", one.listener},
                    {"tls", one.tls},
                    {"state", one.state},
                    {"user", one.user},
                    {"backend", one.backend},
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

std::string text_of(const json& row, const char* field) {
  const auto found = row.find(field);
  if (found == row.end()) return "";
  if (!found->is_string()) return found->dump();
  // Names come from clients, and terminals obey control characters.
  auto value = found->get<std::string>();
  for (char& c : value)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return value;
}

}  // namespace

std::string to_json(const session::Snapshot& snapshot) {
  json servers = json::array();
  for (const auto& one : snapshot.servers) {
    servers.push_back({{"backend", one.backend},
                       {"server", one.server},
                       {"up", one.up},
                       {"connections", one.connections},
                       {"max_connections", one.max_connections},
                       {"waiting", one.waiting},
                       {"times_down", one.times_down}});
  }
  const json all = {{"version", snapshot.version},
                    {"ready", snapshot.ready},
                    {"uptime_ms", snapshot.uptime.count()},
                    {"workers", snapshot.workers},
                    {"clients", snapshot.clients},
                    {"sessions_total", snapshot.sessions_total},
                    {"clients_refused", snapshot.clients_refused},
                    {"logins", snapshot.logins},
                    {"logins_refused", snapshot.logins_refused},
                    {"logins_unavailable", snapshot.logins_unavailable},
                    {"commands", snapshot.commands},
                    {"in_use_answers", snapshot.in_use},
                    {"hand_overs", snapshot.hand_overs},
                    {"servers", std::move(servers)},
                    {"sessions", sessions_of(snapshot)},
                    {"leases", leases_of(snapshot)}};
  // A peer's octets need not be UTF-8.
  return all.dump(2, ' ', false, json::error_handler_t::replace);
}

std::string to_text(const std::string& text) {
  json all;
  try {
    all = json::parse(text);
  } catch (const json::exception& error) {
    throw std::runtime_error(std::string("the answer is no status: ") + error.what());
  }
  std::string out =
      fmt::format("imapmux {}, up {} s, {} workers, {} clients, {} logins ({} refused), {} commands\n",
                  text_of(all, "version"), all.value("uptime_ms", int64_t{0}) / 1000, text_of(all, "workers"),
                  text_of(all, "clients"), text_of(all, "logins"), text_of(all, "logins_refused"),
                  text_of(all, "commands"));
  out += "\nBACKEND          SERVER                    STATE  CONNECTIONS  WAITING\n";
  for (const auto& row : all.value("servers", json::array()))
    out += fmt::format("{:<16} {:<25} {:<6} {:<12} {}\n", text_of(row, "backend"), text_of(row, "server"),
                       row.value("up", false) ? "up" : "down", text_of(row, "connections"),
                       text_of(row, "waiting"));
  out +=
      "\nSESSION  CLIENT                USER             BACKEND    STATE          MAILBOX          WAITING "
      "FOR\n";
  for (const auto& row : all.value("sessions", json::array()))
    out += fmt::format("{:<8} {:<21} {:<16} {:<10} {:<14} {:<16} {}\n", text_of(row, "id"),
                       text_of(row, "client"), text_of(row, "user"), text_of(row, "backend"),
                       text_of(row, "state"), text_of(row, "mailbox"), text_of(row, "waiting_for"));
  out += "\nLEASE OF         MAILBOX          HOLDERS                   WAITING\n";
  for (const auto& row : all.value("leases", json::array())) {
    std::string holders;
    for (const auto& holder : row.value("holders", json::array()))
      holders +=
          (holders.empty() ? "" : ", ") + text_of(holder, "kind") + " #" + text_of(holder, "connection");
    out += fmt::format("{:<16} {:<16} {:<25} {}\n", text_of(row, "user"), text_of(row, "mailbox"), holders,
                       text_of(row, "waiting"));
  }
  return out;
}

}  // namespace imapmux::admin
