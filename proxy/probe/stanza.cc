#include "probe/stanza.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log_escape.h"
#include "config/choices.h"

namespace imapmux::probe {

namespace {

// Comments stand in one column.
class Lines {
 public:
  void add(std::string_view key, std::string_view value, std::string_view comment = {}) {
    lines_.emplace_back(fmt::format("    {}: {}", key, value), comment);
  }
  std::string text() const {
    size_t width = 0;
    for (const auto& [line, comment] : lines_)
      if (!comment.empty()) width = std::max(width, line.size());
    std::string out;
    for (const auto& [line, comment] : lines_)
      out += comment.empty() ? line + "\n" : fmt::format("{:<{}}  # {}\n", line, width, comment);
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

// A double-quoted YAML scalar. "$" begins a variable in our files.
std::string scalar(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '$') out += '$';
    out += c;
  }
  return out + "\"";
}

std::string list(const std::vector<std::string>& texts) {
  std::vector<std::string> parts;
  for (const auto& text : texts) parts.push_back(scalar(text));
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

void add_tls(const Options& options, Lines& lines) {
  lines.add("tls", config::name_of(options.tls, config::kBackendTlsChoices));
  if (options.tls == config::BackendTls::kNone) return;
  const Options usual;
  if (options.tls_verify != usual.tls_verify)
    lines.add("tls_verify", config::name_of(options.tls_verify, config::kTlsVerifyChoices));
  if (!options.ca.empty()) lines.add("ca", scalar(options.ca));
  if (!options.server_name.empty()) lines.add("server_name", scalar(options.server_name));
  if (options.min_protocol != usual.min_protocol)
    lines.add("min_protocol", config::name_of(options.min_protocol, config::kTlsVersionChoices));
  if (!options.ciphers.empty()) lines.add("ciphers", scalar(options.ciphers));
}

}  // namespace

bool can_be_configured(std::string_view text) {
  std::string printable;
  base::log::append_printable(printable, text);
  return printable == text;
}

std::string stanza(const Options& options, const Findings& findings, const Verdict& verdict) {
  Lines lines;
  lines.add("servers", list({options.server.to_string()}));
  add_tls(options, lines);
  lines.add("mailbox_access", config::name_of(verdict.access, config::kMailboxAccessChoices),
            verdict.why_access);
  lines.add("conflicts", config::name_of(verdict.conflicts, config::kConflictsChoices),
            verdict.why_conflicts);
  lines.add("connections_per_user", std::to_string(verdict.connections_per_user), verdict.why_connections);
  if (verdict.max_connections != 0)
    lines.add("max_connections", std::to_string(verdict.max_connections), verdict.why_max_connections);
  lines.add("uidnext", config::name_of(verdict.uid_next, config::kUidNextChoices), verdict.why_uid_next);
  std::vector<std::string> shared = findings.shared_namespaces;
  std::erase_if(shared, [](const auto& prefix) { return !can_be_configured(prefix); });
  if (!shared.empty()) lines.add("shared_namespaces", list(shared), "as NAMESPACE says");
  return "backends:\n  legacy:\n" + lines.text();
}

}  // namespace imapmux::probe
