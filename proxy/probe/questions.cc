// Which questions there are, and those that need one session only.
#include "probe/questions.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"

namespace imapmux::probe {

namespace {

using async::Task;
using wire::ResponseName;

std::string swapped_case(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const char up = base::to_upper(c);
    out += c == up ? base::to_lower(c) : up;
  }
  return out;
}

}  // namespace

Task<> Questions::ask_all(std::string user, uint32_t most_connections, Progress progress) {
  user_ = std::move(user);
  most_connections_ = most_connections;
  progress_ = std::move(progress);
  co_await put("connections", "connections at once", &Questions::connection_limit);
  co_await sessions_.close_others();
  co_await put("second_select", "SELECT beside a SELECT", &Questions::second_select);
  co_await put("examine_beside_select", "EXAMINE beside a SELECT", &Questions::examine_beside_select);
  co_await put("select_beside_examine", "SELECT beside an EXAMINE", &Questions::select_beside_examine);
  co_await put("changes_seen", "EXPUNGE by another session", &Questions::changes_seen);
  co_await put("append", "APPEND from another session", &Questions::append);
  co_await put("status_of_other", "STATUS from another session", &Questions::status_of_other);
  co_await put("status_of_own", "STATUS of its own mailbox", &Questions::status_of_own);
  co_await put("uidnext", "UIDNEXT", &Questions::uid_next);
  co_await put("login_names", "login names", &Questions::name_case);
}

Task<> Questions::put(std::string_view key, std::string_view question, Task<Words> (Questions::*ask)()) {
  if (progress_) progress_(question);
  evidence_from_ = transcript_.mark();
  auto words = co_await (this->*ask)();
  findings_.rows.push_back(
      {std::string(key), std::string(question), std::move(words), transcript_.since(evidence_from_)});
}

Task<Session*> Questions::alone(Words& trouble) {
  co_await sessions_.close(Who::kB);
  auto session = co_await sessions_.ready(Who::kA);
  if (!session) {
    trouble = "not found out: no session was to be had any more: " + sessions_.why_none();
    co_return nullptr;
  }
  auto refilled = co_await mailbox_.refill(*session);
  evidence_from_ = transcript_.mark();
  if (refilled.empty()) co_return session;
  trouble = "not found out: the mailbox could not be filled: " + refilled;
  co_return nullptr;
}

Task<Questions::Pair> Questions::pair() {
  Pair out;
  if (findings_.connections < 2) {
    out.trouble = "not found out: that takes two sessions, and the server allows one";
    co_return out;
  }
  out.b = co_await sessions_.ready(Who::kB);
  out.a = co_await sessions_.ready(Who::kA);
  if (!out.a || !out.b) {
    out.trouble = "not found out: no second session was to be had any more: " + sessions_.why_none();
    co_return out;
  }
  auto refilled = co_await mailbox_.refill(*out.a);
  evidence_from_ = transcript_.mark();
  if (!refilled.empty()) out.trouble = "not found out: the mailbox could not be filled: " + refilled;
  co_return out;
}

Task<Questions::Words> Questions::connection_limit() {
  auto& count = findings_.connections;
  Opening last;
  last.verdict = Opening::Verdict::kOpen;
  for (count = 1; count < most_connections_; ++count) {
    evidence_from_ = transcript_.mark();  // the last one is enough
    last = co_await sessions_.open_more();
    if (last.verdict != Opening::Verdict::kOpen) break;
  }
  switch (last.verdict) {
    case Opening::Verdict::kOpen:
      findings_.limit = LimitKind::kNotMet;
      co_return fmt::format("{} were let in; more were not tried", count);
    case Opening::Verdict::kNoSlot:
    case Opening::Verdict::kRefused:
      findings_.limit = LimitKind::kLogin;
      co_return fmt::format("{}; one login more is refused: {}", count, last.text);
    case Opening::Verdict::kCutAtLogin:
      findings_.limit = LimitKind::kLogin;
      co_return fmt::format("{}; one more is cut off at its login: {}", count, last.text);
    case Opening::Verdict::kTurnedAway:
    case Opening::Verdict::kUnreachable:
      break;
  }
  findings_.limit = LimitKind::kConnection;
  co_return fmt::format("{}; one more is turned away before its login: {}", count, last.text);
}

Task<Questions::Numbers> Questions::numbers(Session* session) {
  Numbers out;
  if (!session) {
    out.trouble = sessions_.why_none();
    co_return out;
  }
  auto opened = co_await session->open("SELECT", mailbox_.name());
  if (!opened.ok()) out.trouble = opened.text();
  out.validity = opened.code_number("UIDVALIDITY").value_or(0);
  out.next = opened.code_number("UIDNEXT").value_or(0);
  out.last = co_await last_uid(*session);
  co_return out;
}

// RFC 3501, 2.3.1.1: a UID must never be given again. Servers that keep no count go by the last message,
// which is another one once that has been expunged.
Task<Questions::Words> Questions::uid_next() {
  Words trouble;
  auto session = co_await alone(trouble);
  if (!session) co_return trouble;
  auto before = co_await numbers(session);
  co_await session->ask(fmt::format("STORE {} +FLAGS.SILENT (\\Deleted)", ProbeMailbox::kMessages));
  co_await session->ask("EXPUNGE");
  co_await session->leave();
  auto again = co_await numbers(session);
  co_await sessions_.close(Who::kA);
  session = co_await sessions_.ready(Who::kA);
  if (session) co_await mailbox_.append(*session);
  auto later = co_await numbers(session);
  co_return judge_uids(before, again, later);
}

Questions::Words Questions::judge_uids(const Numbers& before, const Numbers& again, const Numbers& later) {
  for (const auto* seen : {&before, &again, &later})
    if (!seen->trouble.empty()) return "not found out: " + seen->trouble;
  if (before.last == 0 || later.last == 0) return "not found out: FETCH does not tell UIDs";
  auto& verdict = findings_.uid_next;
  if (again.validity != before.validity || later.validity != before.validity) {
    verdict = UidNext::kValidityChanges;
    return "UIDVALIDITY is another one when the mailbox is opened again";
  }
  if (later.last <= before.last) {
    verdict = UidNext::kGoesBack;
    return fmt::format("UIDs are given again: message {} was expunged, and the next one is {}", before.last,
                       later.last);
  }
  if (again.next < before.next || later.next < before.next) {
    verdict = UidNext::kGoesBack;
    return fmt::format("goes back when the last message is expunged: from {} to {}", before.next,
                       std::min(again.next, later.next));
  }
  verdict = UidNext::kSticky;
  return before.next == 0 ? "sticky: no UID is given again; but SELECT does not tell it"
                          : "sticky: the UID of an expunged message is not given again";
}

// A refused login may count as a failure: it is tried once.
Task<Questions::Words> Questions::name_case() {
  const std::string other = swapped_case(user_);
  if (other == user_) {
    findings_.name_case = NameCase::kNoLetters;
    co_return "not asked: the name has no letters";
  }
  co_await sessions_.close(Who::kB);
  if (findings_.connections < 2) co_await sessions_.close(Who::kA);
  auto opening = co_await door_.open("C", other);
  if (opening.verdict == Opening::Verdict::kRefused) {
    findings_.name_case = NameCase::kMatters;
    co_return fmt::format("case matters: {} is refused: {}", other, opening.text);
  }
  if (!opening.session) co_return "not found out: " + opening.text;
  auto words = co_await same_user(*opening.session);
  co_await opening.session->close();
  co_return other + words;
}

Task<Questions::Words> Questions::same_user(Session& session) {
  auto list = co_await session.ask("LIST \"\" " + quoted(mailbox_.name()));
  const bool same = list.contains(ResponseName::kList, mailbox_.name());
  findings_.name_case = same ? NameCase::kSameUser : NameCase::kOtherUser;
  co_return same ? " is the same user" : " is let in as another user";
}

}  // namespace imapmux::probe
