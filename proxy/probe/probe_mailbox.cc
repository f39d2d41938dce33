#include "probe/probe_mailbox.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <random>

#include "wire/token_reader.h"

namespace imapmux::probe {

namespace {

using async::Task;
using wire::ResponseName;

constexpr std::string_view kPrefix = "imapmux-probe-";
constexpr size_t kTimeDigits = 8;
constexpr size_t kDigits = 16;
constexpr int64_t kOld = 24 * 60 * 60;  // seconds; no probe takes as long

int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// (("INBOX." ".")("other/" "/")) or NIL: RFC 2342, 5. Extensions behind the delimiter are passed over.
bool read_one(wire::TokenReader& reader, std::vector<std::pair<std::string, char>>& out) {
  if (!reader.open()) return reader.skip_value();
  while (!reader.close()) {
    if (!reader.open()) return false;
    const auto prefix = reader.astring();
    const auto delimiter = reader.string();
    if (!prefix || (!delimiter && !reader.skip_value())) return false;
    out.emplace_back(*prefix, delimiter && !delimiter->empty() ? delimiter->front() : '\0');
    while (!reader.close())
      if (!reader.skip_value()) return false;
  }
  return true;
}

std::string message(const std::string& token) {
  return fmt::format(
      "From: imapmux probe <probe@localhost>\r\n"
      "To: imapmux probe <probe@localhost>\r\n"
      "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
      "Message-ID: <{0}@localhost>\r\n"
      "Subject: {0}\r\n\r\n"
      "A message of imapmux probe. {0}\r\n",
      token);
}

// The names in LIST's answers, and the delimiter.
struct Listed {
  std::vector<std::string> names;
  char delimiter = 0;
};
Listed listed(const Answer& answer) {
  Listed out;
  for (const Heard& heard : answer.heard) {
    if (heard.name != ResponseName::kList) continue;
    wire::TokenReader reader(heard.arguments);
    if (!reader.skip_value()) continue;
    const auto delimiter = reader.string();
    if (!delimiter && !reader.skip_value()) continue;
    if (delimiter && !delimiter->empty()) out.delimiter = delimiter->front();
    if (auto name = reader.astring()) out.names.push_back(std::move(*name));
  }
  return out;
}

}  // namespace

void read_namespaces(std::string_view arguments, Namespaces& found) {
  wire::TokenReader reader(arguments);
  std::vector<std::pair<std::string, char>> personal;
  std::vector<std::pair<std::string, char>> others;
  std::vector<std::pair<std::string, char>> shared;
  if (!read_one(reader, personal) || !read_one(reader, others) || !read_one(reader, shared)) return;
  if (!personal.empty()) {
    found.personal = personal.front().first;
    if (personal.front().second != 0) found.delimiter = personal.front().second;
  }
  for (auto& [prefix, delimiter] : shared)
    if (!prefix.empty()) found.shared.push_back(std::move(prefix));
}

std::string make_name(int64_t now) {
  std::random_device chance;
  return fmt::format("{}{:08x}{:08x}", kPrefix, static_cast<uint32_t>(now), chance());
}

bool is_left_over(std::string_view name, int64_t now) {
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  const bool ours = name.size() == kDigits && name.find_first_not_of("0123456789abcdef") == name.npos;
  if (!ours) return false;
  const std::string digits(name.substr(0, kTimeDigits));
  uint32_t made = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), made, 16);
  return made < now - kOld;
}

Task<> ProbeMailbox::explore(Session& session, std::vector<std::string>& notes) {
  auto root = co_await session.ask(R"(LIST "" "")");
  namespaces_.delimiter = listed(root).delimiter;
  if (session.capabilities().has("NAMESPACE")) {
    auto answer = co_await session.ask("NAMESPACE");
    const Heard* heard = answer.find(ResponseName::kNamespace);
    if (heard) read_namespaces(heard->arguments, namespaces_);
  }
  co_await remove_left_overs(session, notes);
}

Task<> ProbeMailbox::remove_left_overs(Session& session, std::vector<std::string>& notes) {
  auto answer =
      co_await session.ask("LIST \"\" " + quoted(namespaces_.personal + std::string(kPrefix) + "%"));
  for (const std::string& name : listed(answer).names) {
    if (!name.starts_with(namespaces_.personal)) continue;
    if (!is_left_over(std::string_view(name).substr(namespaces_.personal.size()), seconds_now())) continue;
    auto gone = co_await session.ask("DELETE " + quoted(name));
    if (gone.ok()) notes.push_back("Deleted " + name + ", which an earlier probe had to leave behind.");
  }
}

// Where NAMESPACE is missing, or says nothing useful, a server may still want everything below INBOX.
Task<std::string> ProbeMailbox::create(Session& session) {
  const std::string plain = make_name(seconds_now());
  std::vector<std::string> candidates{namespaces_.personal + plain};
  if (namespaces_.personal.empty() && namespaces_.delimiter != 0)
    candidates.push_back(std::string("INBOX") + namespaces_.delimiter + plain);
  std::string why;
  for (const std::string& name : candidates) {
    may_exist_.push_back(name);
    auto answer = co_await session.ask("CREATE " + quoted(name));
    if (answer.ok()) {
      name_ = name;
      co_return "";
    }
    why = answer.text();
    if (!answer.lost.empty()) co_return why;
    may_exist_.pop_back();
  }
  co_return why;
}

Task<Answer> ProbeMailbox::append(Session& session) {
  const std::string token = fmt::format("{}-{:06}", name_.substr(name_.size() - kDigits / 2), ++messages_);
  const std::string text = message(token);
  tokens_.push_back(token);
  auto answer = co_await session.ask(fmt::format("APPEND {} {{{}}}\r\n{}", quoted(name_), text.size(), text));
  co_return answer;
}

Task<std::string> ProbeMailbox::refill(Session& session) {
  auto trouble = co_await empty(session);
  if (trouble.empty()) trouble = co_await fill(session);
  // What several sessions at once have done to it may be past mending.
  if (!trouble.empty() && session.usable()) trouble = co_await recreate(session);
  co_return trouble;
}

Task<std::string> ProbeMailbox::empty(Session& session) {
  auto opened = co_await session.open("SELECT", name_);
  if (!opened.ok()) co_return opened.text();
  const Heard* exists = opened.find(ResponseName::kExists);
  if (exists && exists->number > 0) {
    co_await session.ask("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    auto expunged = co_await session.ask("EXPUNGE");
    if (!expunged.ok()) co_return expunged.text();
  }
  co_await session.leave();
  tokens_.clear();
  co_return "";
}

Task<std::string> ProbeMailbox::fill(Session& session) {
  for (uint32_t i = 0; i < kMessages; ++i) {
    auto answer = co_await append(session);
    if (!answer.ok()) co_return answer.text();
  }
  auto opened = co_await session.open("SELECT", name_);
  const Heard* exists = opened.find(ResponseName::kExists);
  co_await session.leave();
  if (!opened.ok()) co_return opened.text();
  co_return exists && exists->number == kMessages ? "" : "the messages that were appended are not all there";
}

Task<std::string> ProbeMailbox::recreate(Session& session) {
  co_await session.leave();
  co_await session.ask("DELETE " + quoted(name_));
  auto created = co_await session.ask("CREATE " + quoted(name_));
  if (!created.ok()) co_return created.text();
  tokens_.clear();
  auto trouble = co_await fill(session);
  co_return trouble;
}

Task<std::string> ProbeMailbox::remove(Session& session) {
  co_await session.leave();
  while (!may_exist_.empty()) {
    auto answer = co_await session.ask("DELETE " + quoted(may_exist_.back()));
    if (!answer.lost.empty()) co_return answer.lost;
    // NO may mean that it is not there.
    auto list = co_await session.ask("LIST \"\" " + quoted(may_exist_.back()));
    if (!answer.ok() && (!list.ok() || !listed(list).names.empty())) co_return answer.text();
    may_exist_.pop_back();
  }
  co_return "";
}

}  // namespace imapmux::probe
