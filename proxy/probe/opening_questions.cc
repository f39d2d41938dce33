// What comes of opening a mailbox that another session has open.
#include <fmt/core.h>

#include <array>

#include "probe/questions.h"
#include "probe/words.h"

namespace imapmux::probe {

namespace {

using async::Task;
using wire::ResponseName;

// Servers look at the time of a file, which has seconds on old file systems.
constexpr base::Millis kALittleLater{1'100};

constexpr std::array kMoments{Told::kAtNoop, Told::kLater};

bool heard_flag(const Answer& answer) {
  return answer.contains(ResponseName::kFetch, "\\Flagged");
}
bool heard_expunge(const Answer& answer) {
  return answer.find(ResponseName::kExpunge) || answer.find(ResponseName::kVanished);
}

// What FETCH gave of the message with `token`, which is gone.
FetchOfExpunged judge_fetched(const Answer& answer, std::string_view token) {
  if (!answer.lost.empty()) return FetchOfExpunged::kUnknown;
  if (answer.contains(ResponseName::kFetch, token)) return FetchOfExpunged::kServed;
  if (answer.contains(ResponseName::kFetch, "BODY[] {")) return FetchOfExpunged::kMadeUp;
  return answer.ok() ? FetchOfExpunged::kNothing : FetchOfExpunged::kRefused;
}

// Asks NOOP until the reader has heard of flags and an expunge, or twice.
Task<> listen(Session& reader, Sight& sight) {
  for (const Told moment : kMoments) {
    if (moment == Told::kLater) co_await async::sleep_for(kALittleLater);
    auto answer = co_await reader.ask("NOOP");
    if (!answer.lost.empty()) co_return;
    if (sight.flags == Told::kUnknown && heard_flag(answer)) sight.flags = moment;
    if (sight.expunge == Told::kUnknown && heard_expunge(answer)) sight.expunge = moment;
    if (sight.flags != Told::kUnknown && sight.expunge != Told::kUnknown) co_return;
  }
  if (sight.flags == Told::kUnknown) sight.flags = Told::kNever;
  if (sight.expunge == Told::kUnknown) sight.expunge = Told::kNever;
}

Task<> expunge_second(Session& writer) {
  co_await writer.ask("STORE 2 +FLAGS (\\Deleted)");
  co_await writer.ask("EXPUNGE");
}

}  // namespace

Task<Questions::Opened> Questions::open_beside(Session& a, Session& b, std::string first,
                                               std::string second) {
  Opened out;
  auto before = co_await a.open(first, mailbox_.name());
  if (!before.ok()) {
    out.words = fmt::format("not found out: {} alone fails: {}", first, before.text());
    co_return out;
  }
  auto behind = co_await b.open(second, mailbox_.name());
  auto alive = co_await a.ask("NOOP");
  if (!alive.lost.empty()) {
    out.beside = Beside::kSeversFirst;
    out.words = fmt::format("the session that was there first is cut off: {}", alive.lost);
  } else if (!behind.lost.empty()) {
    out.beside = Beside::kSeversSecond;
    out.words = fmt::format("the session that comes second is cut off: {}", behind.lost);
  } else if (!behind.ok()) {
    out.beside = Beside::kRefused;
    out.words = fmt::format("refused: {}", behind.text());
  } else if (second == "SELECT" && behind.reply.code == "READ-ONLY") {
    out.beside = Beside::kReadOnly;
    out.words = "read-only for the session that comes second";
  } else {
    out.beside = Beside::kWorks;
    out.words = "works";
  }
  co_return out;
}

Task<Questions::Words> Questions::second_select() {
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto opened = co_await open_beside(*both.a, *both.b, "SELECT", "SELECT");
  findings_.second_select = opened.beside;
  co_return opened.words;
}

Task<Questions::Words> Questions::examine_beside_select() {
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto opened = co_await open_beside(*both.a, *both.b, "SELECT", "EXAMINE");
  findings_.examine_beside_select = opened.beside;
  if (opened.beside != Beside::kWorks) co_return opened.words;
  findings_.examine_sees = co_await look(*both.a, *both.b);
  if (findings_.examine_sees.in_step()) co_return "works, and stays in step";
  co_return "works, but gets out of step: EXPUNGE " + words(findings_.examine_sees);
}

Task<Questions::Words> Questions::select_beside_examine() {
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto opened = co_await open_beside(*both.a, *both.b, "EXAMINE", "SELECT");
  findings_.select_beside_examine = opened.beside;
  co_return opened.words;
}

Task<Questions::Words> Questions::changes_seen() {
  const auto second = findings_.second_select;
  const bool both_may_select = second == Beside::kWorks || second == Beside::kReadOnly;
  if (!both_may_select && findings_.examine_beside_select == Beside::kWorks)
    co_return "to an EXAMINE " + words(findings_.examine_sees);
  if (!both_may_select && second != Beside::kUnknown) co_return "none: two sessions can't be in one mailbox";
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto opened = co_await open_beside(*both.a, *both.b, "SELECT", "SELECT");
  if (opened.beside != second) co_return "not found out: another time, a second SELECT: " + opened.words;
  findings_.second_select_sees = co_await look(*both.a, *both.b);
  co_return words(findings_.second_select_sees);
}

// `writer` and `reader` have the mailbox open, with messages 1 to 4, of which 2 and 3 go.
Task<Sight> Questions::look(Session& writer, Session& reader) {
  Sight sight;
  auto uid = co_await last_uid(reader);
  co_await writer.ask("STORE 1 +FLAGS (\\Flagged)");
  co_await expunge_second(writer);
  auto fetched = co_await reader.ask("FETCH 2 BODY.PEEK[]");
  sight.expunged = judge_fetched(fetched, mailbox_.token(2));
  if (heard_flag(fetched)) sight.flags = Told::kAtNoop;
  co_await listen(reader, sight);
  if (sight.expunge == Told::kAtNoop || sight.expunge == Told::kLater) {  // UW's mbx tells of some
    sight.expunge = Told::kUnknown;
    co_await expunge_second(writer);
    co_await listen(reader, sight);
  }
  auto body = co_await reader.ask(fmt::format("UID FETCH {} BODY.PEEK[]", uid));
  sight.right_message = body.contains(ResponseName::kFetch, mailbox_.token(ProbeMailbox::kMessages));
  sight.lost = body.lost;
  co_return sight;
}

}  // namespace imapmux::probe
