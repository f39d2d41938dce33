#include "probe/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log_escape.h"
#include "config/choices.h"
#include "probe/stanza.h"
#include "probe/words.h"

namespace imapmux::probe {

namespace {

constexpr size_t kWidth = 110;
constexpr size_t kAnswerAt = 31;

// A server's text is data: nothing in it may move the cursor of a terminal.
std::string printable(std::string_view text) {
  std::string out;
  base::log::append_printable(out, text);
  return out;
}

// `text` from column `at` on, broken between words.
std::string wrapped(std::string_view text, size_t at) {
  std::string out;
  size_t column = at;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const auto word = text.substr(0, end);
    if (column > at && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(at, ' ');
      column = at;
    } else if (column > at) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::string row(std::string_view question, std::string_view answer) {
  return fmt::format("  {:<{}}{}\n", question, kAnswerAt - 2, wrapped(printable(answer), kAnswerAt));
}

std::string dialogue(const Evidence& evidence) {
  std::string out;
  for (const WireLine& line : evidence) {
    const char* arrow = line.direction == Direction::kSent       ? ">"
                        : line.direction == Direction::kReceived ? "<"
                                                                 : "-";
    out += fmt::format("      {} {} {}\n", line.session, arrow, printable(line.text));
  }
  return out;
}

std::string names(const backend::Capabilities& capabilities) {
  return fmt::format("{}", fmt::join(capabilities.names(), " "));
}

// Those that a login brings and takes.
std::string difference(const backend::Capabilities& before, const backend::Capabilities& after) {
  std::string out;
  for (const auto name : after.names())
    if (!before.has(name)) out += fmt::format("{}+{}", out.empty() ? "" : " ", name);
  for (const auto name : before.names())
    if (!after.has(name)) out += fmt::format("{}-{}", out.empty() ? "" : " ", name);
  return out.empty() ? "the same" : out;
}

std::vector<std::string> notes(const Findings& findings) {
  std::vector<std::string> out = findings.notes;
  const auto& shared = findings.shared_namespaces;
  if (!std::all_of(shared.begin(), shared.end(), can_be_configured))
    out.emplace_back(
        "The section below lacks shared namespaces whose names are no text that a configuration could have.");
  if (findings.connections < 2)
    out.emplace_back(
        "The server lets the user have one connection (or others are in use elsewhere), so nothing could be "
        "found "
        "out that takes two: the section below assumes the worst.");
  if (findings.limit == LimitKind::kConnection)
    out.emplace_back(
        "A limit before the login is one per address, or of the whole server, and to the server all users of "
        "imapmux come from one address: raise it there if you can.");
  if (findings.limit != LimitKind::kLogin) return out;
  out.emplace_back(
      "Clients that do not come through imapmux count as well: leave them some of the connections.");
  if (findings.name_case == NameCase::kSameUser)
    out.emplace_back(
        "imapmux gives connections_per_user to each spelling of a name: have all clients of a user use one.");
  return out;
}

std::string transport(const Options& options) {
  if (options.tls == config::BackendTls::kNone) return "without TLS";
  return options.tls == config::BackendTls::kImplicit ? "with TLS" : "with STARTTLS";
}

nlohmann::json to_json(const Sight& sight) {
  return {{"in_step", sight.in_step()},
          {"expunge_told", name_of(sight.expunge)},
          {"flags_told", name_of(sight.flags)},
          {"fetch_of_expunged", name_of(sight.expunged)},
          {"right_message", sight.right_message}};
}

nlohmann::json to_json(const Evidence& evidence) {
  auto out = nlohmann::json::array();
  for (const WireLine& line : evidence) {
    const char* kind = line.direction == Direction::kSent       ? "sent"
                       : line.direction == Direction::kReceived ? "received"
                                                                : "note";
    out.push_back({{"session", line.session}, {kind, line.text}});
  }
  return out;
}

}  // namespace

std::string to_text(const Options& options, const Findings& findings, Detail detail) {
  std::string out = fmt::format("imapmux probe of {} {}, as {}\n\n", options.server.to_string(),
                                transport(options), options.user);
  out += row("greeting", findings.greeting);
  out += row("extensions before login", names(findings.before_login));
  out += row("after login", difference(findings.before_login, findings.after_login));
  out += row("mailbox of the probe",
             findings.mailbox + (findings.mailbox_deleted ? ", deleted again" : ", not deleted"));
  for (const Row& found : findings.rows) {
    out += row(found.question, found.answer);
    if (detail == Detail::kDialogue) out += dialogue(found.evidence);
  }
  for (const auto& note : notes(findings)) out += "\n" + wrapped(note, 0) + "\n";
  const auto verdict = judge(findings);
  return out + "\nTo be pasted into the configuration of imapmux:\n\n" + stanza(options, findings, verdict);
}

std::string to_json(const Options& options, const Findings& findings) {
  const auto verdict = judge(findings);
  nlohmann::json out = {
      {"server", options.server.to_string()},
      {"user", options.user},
      {"greeting", findings.greeting},
      {"capabilities_before_login", findings.before_login.names()},
      {"capabilities_after_login", findings.after_login.names()},
      {"connections", {{"limit", name_of(findings.limit)}, {"at_once", findings.connections}}},
      {"second_select", name_of(findings.second_select)},
      {"second_select_sees", to_json(findings.second_select_sees)},
      {"examine_beside_select", name_of(findings.examine_beside_select)},
      {"examine_sees", to_json(findings.examine_sees)},
      {"select_beside_examine", name_of(findings.select_beside_examine)},
      {"append", name_of(findings.append)},
      {"status_of_other", name_of(findings.status_of_other)},
      {"status_of_own", name_of(findings.status_of_own)},
      {"uidnext", name_of(findings.uid_next)},
      {"login_names", name_of(findings.name_case)},
      {"shared_namespaces", findings.shared_namespaces},
      {"notes", notes(findings)},
      {"verdict",
       {{"mailbox_access", config::name_of(verdict.access, config::kMailboxAccessChoices)},
        {"conflicts", config::name_of(verdict.conflicts, config::kConflictsChoices)},
        {"connections_per_user", verdict.connections_per_user},
        {"max_connections", verdict.max_connections},
        {"uidnext", config::name_of(verdict.uid_next, config::kUidNextChoices)}}},
      {"stanza", stanza(options, findings, verdict)},
  };
  auto& questions = out["questions"] = nlohmann::json::array();
  for (const Row& found : findings.rows)
    questions.push_back({{"key", found.key},
                         {"question", found.question},
                         {"answer", found.answer},
                         {"evidence", to_json(found.evidence)}});
  // Servers need not speak UTF-8.
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace imapmux::probe
