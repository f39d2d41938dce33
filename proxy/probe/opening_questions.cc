// What comes of opening a mailbox that another session has open.
#include <fmt/core.h>

#include <algorithm>

#include "probe/questions.h"
#include "probe/words.h"
#include "wire/fetch_attributes.h"

namespace imapmux::probe {

namespace {

using async::Task;
using wire::ResponseName;

// Servers look at the time of a file, which has seconds on old file systems.
constexpr base::Millis kALittleLater{1'100};

bool heard_flag(const Answer& answer) {
  return answer.contains(ResponseName::kFetch, "\\Flagged");
}
bool heard_expunge(const Answer& answer) {
  return answer.find(ResponseName::kExpunge) || answer.find(ResponseName::kVanished);
}

// Asks NOOP until `heard` says yes, or twice.
Task<Told> told(Session& reader, bool (*heard)(const Answer&)) {
  auto first = co_await reader.ask("NOOP");
  if (!first.lost.empty()) co_return Told::kUnknown;
  if (heard(first)) co_return Told::kAtNoop;
  co_await async::sleep_for(kALittleLater);
  auto second = co_await reader.ask("NOOP");
  if (!second.lost.empty()) co_return Told::kUnknown;
  co_return heard(second) ? Told::kLater : Told::kNever;
}

// The UID of the last message.
Task<uint32_t> last_uid(Session& session) {
  auto answer = co_await session.ask("FETCH 1:* (UID)");
  uint32_t last = 0;
  for (const Heard& heard : answer.heard) {
    uint32_t uid = 0;
    std::string flags;
    bool has_flags = false;
    if (heard.name == ResponseName::kFetch && wire::read_fetch(heard.arguments, uid, flags, has_flags))
      last = std::max(last, uid);
  }
  co_return last;
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
  co_return "works, but gets out of step: " + words(findings_.examine_sees);
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
    co_return "in an EXAMINE: " + words(findings_.examine_sees);
  if (!both_may_select && second != Beside::kUnknown) co_return "none: two sessions can't be in one mailbox";
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto opened = co_await open_beside(*both.a, *both.b, "SELECT", "SELECT");
  if (opened.beside != second) co_return "not found out: another time, a second SELECT: " + opened.words;
  findings_.second_select_sees = co_await look(*both.a, *both.b);
  co_return words(findings_.second_select_sees);
}

// `writer` and `reader` have the mailbox open, with messages 1 to 4.
Task<Sight> Questions::look(Session& writer, Session& reader) {
  Sight sight;
  auto uid = co_await last_uid(reader);
  sight.flags = co_await flags_told(writer, reader);
  sight.expunge = co_await expunge_told(writer, reader, &sight.expunged);
  // Some servers tell of some expunges.
  if (sight.expunge == Told::kAtNoop || sight.expunge == Told::kLater)
    sight.expunge = co_await expunge_told(writer, reader, nullptr);
  auto body = co_await reader.ask(fmt::format("UID FETCH {} BODY.PEEK[]", uid));
  sight.right_message = body.contains(ResponseName::kFetch, mailbox_.token(ProbeMailbox::kMessages));
  sight.lost = body.lost;
  co_return sight;
}

Task<Told> Questions::flags_told(Session& writer, Session& reader) {
  co_await writer.ask("STORE 1 +FLAGS (\\Flagged)");
  auto when = co_await told(reader, heard_flag);
  co_return when;
}

// Message 2, whichever that is.
Task<Told> Questions::expunge_told(Session& writer, Session& reader, FetchOfExpunged* fetched) {
  co_await writer.ask("STORE 2 +FLAGS (\\Deleted)");
  co_await writer.ask("EXPUNGE");
  if (fetched) *fetched = co_await fetch_expunged(reader);
  auto when = co_await told(reader, heard_expunge);
  co_return when;
}

Task<FetchOfExpunged> Questions::fetch_expunged(Session& reader) {
  auto answer = co_await reader.ask("FETCH 2 BODY.PEEK[]");
  if (!answer.lost.empty()) co_return FetchOfExpunged::kUnknown;
  if (answer.contains(ResponseName::kFetch, mailbox_.token(2))) co_return FetchOfExpunged::kServed;
  const bool made_up = std::any_of(answer.heard.begin(), answer.heard.end(), [](const Heard& heard) {
    return heard.name == ResponseName::kFetch && heard.line.contains("BODY[] {");
  });
  if (made_up) co_return FetchOfExpunged::kMadeUp;
  co_return answer.ok() ? FetchOfExpunged::kNothing : FetchOfExpunged::kRefused;
}

}  // namespace imapmux::probe
