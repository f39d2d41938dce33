#include "admin/status_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <vector>

#include "base/log_escape.h"

namespace imapmux::admin {
namespace {

using nlohmann::json;

// Names come from clients, and terminals obey control characters.
std::string without_controls(std::string_view text) {
  std::string out;
  base::log::append_printable(out, text);
  return out;
}

std::string text_of(const json& row, const char* field) {
  const auto found = row.find(field);
  if (found == row.end() || found->is_null()) return "";
  return found->is_string() ? without_controls(found->get_ref<const std::string&>()) : found->dump();
}

uint64_t number_of(const json& row, const char* field) {
  const auto found = row.find(field);
  return found != row.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

bool is_set(const json& row, const char* field) {
  const auto found = row.find(field);
  return found != row.end() && found->is_boolean() && found->get<bool>();
}

const json& list_in(const json& row, const char* field) {
  static const json kNone = json::array();
  const auto found = row.find(field);
  return found != row.end() && found->is_array() ? *found : kNone;
}

const json& map_in(const json& row, const char* field) {
  static const json kNone = json::object();
  const auto found = row.find(field);
  return found != row.end() && found->is_object() ? *found : kNone;
}

json parsed(const std::string& text) {
  const auto all = json::parse(text, nullptr, false);
  if (!all.is_object()) throw std::runtime_error("the answer is no status");
  return all;
}

std::string period(uint64_t seconds) {
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} d", seconds / 86400);
}

std::string octets(double number) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; number >= 1024 && unit < 4; ++unit) number /= 1024;
  return fmt::format("{:.{}f} {}", number, unit == 0 || number >= 100 ? 0 : 1, units[unit]);
}

std::string latency(const json& row, const char* field) {
  const auto found = row.find(field);
  if (found == row.end() || !found->is_number()) return "-";
  return fmt::format("{:.1f} ms", found->get<double>());
}

std::string several(uint64_t number, std::string_view what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

std::string clients(uint64_t number) {
  return several(number, "client");
}

// Characters, as far as a terminal shows one for each code point.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Lines of which the columns are as wide as what stands in them.
class Columns {
 public:
  using Line = std::vector<std::string>;

  explicit Columns(std::string indent = "") : indent_(std::move(indent)) {}
  void add(Line line) {
    widths_.resize(std::max(widths_.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths_[i] = std::max(widths_[i], width(line[i]));
    lines_.push_back(std::move(line));
  }
  std::string text() const {
    std::string out;
    for (const auto& line : lines_) {
      out += indent_;
      for (size_t i = 0; i < line.size(); ++i) {
        out += line[i];
        if (i + 1 < line.size()) out.append(widths_[i] - width(line[i]) + 2, ' ');
      }
      out.erase(out.find_last_not_of(' ') + 1);
      out += '\n';
    }
    return out;
  }

 private:
  std::string indent_;
  std::vector<size_t> widths_;
  std::vector<Line> lines_;
};

std::string heading(const json& all) {
  std::string out = fmt::format("imapmux {}, up {}, {} workers, {}", text_of(all, "version"),
                                period(number_of(all, "uptime_ms") / 1000), text_of(all, "workers"),
                                is_set(all, "draining") ? "draining (not ready)"
                                : is_set(all, "ready")  ? "ready"
                                                        : "not ready");
  out += fmt::format("\n{} ({} waiting), {} logins ({} refused, {} unavailable), {} commands\n",
                     clients(number_of(all, "clients")), number_of(all, "clients_waiting"),
                     text_of(all, "logins"), text_of(all, "logins_refused"),
                     text_of(all, "logins_unavailable"), text_of(all, "commands"));
  return out;
}

std::string rates(const json& all, const json& before) {
  const auto millis = static_cast<double>(number_of(all, "uptime_ms") - number_of(before, "uptime_ms"));
  if (millis <= 0) return "";
  const auto rate = [millis](const json& now, const json& then, const char* field) {
    const auto from = number_of(then, field);
    return static_cast<double>(std::max(number_of(now, field), from) - from) * 1000 / millis;
  };
  const auto& now = map_in(map_in(all, "octets"), "clients");
  const auto& then = map_in(map_in(before, "octets"), "clients");
  return fmt::format("per second: {:.0f} commands, {:.1f} logins, {} from clients, {} to clients\n",
                     rate(all, before, "commands"), rate(all, before, "logins"),
                     octets(rate(now, then, "received")), octets(rate(now, then, "sent")));
}

std::string servers(const json& all) {
  Columns table;
  table.add({"BACKEND", "SERVER", "STATE", "CONNECTIONS", "WAITING", "ANSWERS IN", "CONNECTS IN"});
  for (const auto& row : list_in(all, "servers")) {
    auto state = row.contains("state") ? text_of(row, "state") : is_set(row, "up") ? "up" : "down";
    if (is_set(row, "draining")) state += ", drained";
    const auto most = number_of(row, "max_connections");
    table.add({text_of(row, "backend"), text_of(row, "server"), state,
               text_of(row, "connections") + (most ? fmt::format(" of {}", most) : ""),
               text_of(row, "waiting"), latency(row, "answer_ms"), latency(row, "connect_ms")});
  }
  return "\n" + table.text();
}

// Whose mailbox holds a lease, by the holder's number.
std::map<uint64_t, std::string> names_of_holders(const json& all) {
  std::map<uint64_t, std::string> names;
  for (const auto& account : list_in(all, "accounts"))
    for (const auto& mailbox : list_in(account, "mailboxes"))
      names[number_of(mailbox, "holder")] = text_of(account, "account");
  return names;
}

std::string where_open(const json& mailbox, const json& account) {
  if (!is_set(mailbox, "attached")) return is_set(mailbox, "waiting") ? "waits to be opened" : "suspended";
  for (const auto& connection : list_in(account, "connections")) {
    if (text_of(connection, "mailbox") != text_of(mailbox, "name")) continue;
    const auto state = text_of(connection, "state");
    return fmt::format("open{} on {}{}", is_set(mailbox, "writing") ? "" : " read-only",
                       text_of(connection, "server"), state == "free" ? "" : " (" + state + ")");
  }
  return "open";
}

Columns::Line mailbox_line(const json& mailbox, const json& account) {
  auto who = clients(number_of(mailbox, "clients"));
  if (const auto idling = number_of(mailbox, "idling")) who += fmt::format(" ({} in IDLE)", idling);
  if (const auto ghosts = number_of(mailbox, "ghosts")) who += ", " + several(ghosts, "ghost");
  return {text_of(mailbox, "name"), who, several(number_of(mailbox, "messages"), "message"),
          where_open(mailbox, account)};
}

std::string accounts(const json& all) {
  const auto& list = list_in(all, "accounts");
  if (list.empty()) return "";
  std::string out = "\nACCOUNT\n";
  for (const auto& account : list) {
    const auto connections = list_in(account, "connections").size();
    const auto most = number_of(account, "most_connections");
    out += fmt::format("{} at {}: {} on {}{}\n", text_of(account, "account"), text_of(account, "backend"),
                       clients(number_of(account, "clients")), several(connections, "connection"),
                       is_set(account, "exclusive") ? " of its own"
                       : most                       ? fmt::format(" (at most {})", most)
                                                    : "");
    Columns mailboxes("  ");
    for (const auto& mailbox : list_in(account, "mailboxes")) mailboxes.add(mailbox_line(mailbox, account));
    out += mailboxes.text();
  }
  if (const auto total = number_of(all, "accounts_total"); total > list.size())
    out += fmt::format("… and {} more\n", total - list.size());
  return out;
}

std::string sessions(const json& all) {
  Columns table;
  table.add({"SESSION", "CLIENT", "USER", "BACKEND", "STATE", "MAILBOX", "WAITING FOR"});
  const auto& list = list_in(all, "sessions");
  for (const auto& row : list)
    table.add({text_of(row, "id"), text_of(row, "client"), text_of(row, "user"), text_of(row, "backend"),
               text_of(row, "state"), text_of(row, "mailbox"), text_of(row, "waiting_for")});
  std::string out = "\n" + table.text();
  if (const auto total = number_of(all, "clients"); total > list.size())
    out += fmt::format("… and {} more\n", total - list.size());
  return out;
}

std::string leases(const json& all) {
  Columns table;
  table.add({"LEASE OF", "MAILBOX", "HOLDERS", "WAITING"});
  const auto names = names_of_holders(all);
  for (const auto& row : list_in(all, "leases")) {
    std::string holders;
    for (const auto& holder : list_in(row, "holders")) {
      const auto name = names.find(number_of(holder, "connection"));
      holders += fmt::format("{}{} #{}{}", holders.empty() ? "" : ", ", text_of(holder, "kind"),
                             text_of(holder, "connection"), name == names.end() ? "" : " " + name->second);
    }
    table.add({text_of(row, "user"), text_of(row, "mailbox"), holders, text_of(row, "waiting")});
  }
  return "\n" + table.text();
}

}  // namespace

std::string to_text(const std::string& status, const std::string& before) {
  const auto all = parsed(status);
  std::string out = heading(all);
  if (!before.empty()) out += rates(all, parsed(before));
  return out + servers(all) + accounts(all) + leases(all) + sessions(all);
}

}  // namespace imapmux::admin
