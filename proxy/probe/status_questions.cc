// STATUS and APPEND of a mailbox that a session has open.
#include <fmt/core.h>

#include "probe/questions.h"

namespace imapmux::probe {

namespace {

using async::Task;
using wire::ResponseName;

constexpr base::Millis kALittleLater{1'100};
constexpr const char* kItems = " (MESSAGES UNSEEN)";

bool complains(const Answer& answer) {
  return answer.find(ResponseName::kNo) || answer.find(ResponseName::kBad) ||
         answer.reply.code == "CLIENTBUG";
}

}  // namespace

Task<Questions::Words> Questions::status_of_other() {
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto& [a, b, trouble] = both;
  auto opened = co_await a->open("SELECT", mailbox_.name());
  if (!opened.ok()) co_return "not found out: " + opened.text();
  auto status = co_await b->ask("STATUS " + quoted(mailbox_.name()) + kItems);
  auto alive = co_await a->ask("NOOP");
  if (!alive.lost.empty()) {
    findings_.status_of_other = Status::kSevers;
    co_return "cuts off the session that has the mailbox open: " + alive.lost;
  }
  if (!status.ok()) {
    findings_.status_of_other = Status::kRefused;
    co_return "refused: " + status.text();
  }
  auto words = co_await stale_status(*a, *b);
  co_return words;
}

// `a` has the mailbox open, and changes what STATUS tells `b`.
Task<Questions::Words> Questions::stale_status(Session& a, Session& b) {
  const std::string ask = "STATUS " + quoted(mailbox_.name()) + kItems;
  auto appended = co_await mailbox_.append(a);
  co_await a.ask("NOOP");
  auto more = co_await b.ask(ask);
  co_await a.ask("STORE 1 +FLAGS (\\Seen)");
  auto seen = co_await b.ask(ask);
  if (!appended.ok() || !more.ok() || !seen.ok())
    co_return "not found out: " + (!appended.ok() ? appended : !more.ok() ? more : seen).text();
  if (more.status_number("MESSAGES") != ProbeMailbox::kMessages + 1) {
    findings_.status_of_other = Status::kStale;
    co_return "the numbers are those of the moment when the mailbox was opened";
  }
  if (seen.status_number("UNSEEN") == more.status_number("UNSEEN")) {
    findings_.status_of_other = Status::kStaleFlags;
    co_return "counts messages right, but UNSEEN is old";
  }
  findings_.status_of_other = complains(more) ? Status::kComplains : Status::kFine;
  co_return "right";
}

Task<Questions::Words> Questions::status_of_own() {
  Session* a = nullptr;
  Session* b = nullptr;
  Words trouble;
  // Another session brings the change, unless it would do harm.
  if (findings_.append == Append::kTold || findings_.append == Append::kNotTold) {
    auto both = co_await pair();
    a = both.a;
    b = both.b;
    trouble = both.trouble;
  } else {
    a = co_await alone(trouble);
    b = a;
  }
  if (!trouble.empty()) co_return trouble;
  auto opened = co_await a->open("SELECT", mailbox_.name());
  auto appended = co_await mailbox_.append(*b);
  if (!opened.ok() || !appended.ok()) co_return "not found out: " + (opened.ok() ? appended : opened).text();
  auto status = co_await a->ask("STATUS " + quoted(mailbox_.name()) + kItems);
  auto words = co_await judge_own_status(*a, std::move(status), ProbeMailbox::kMessages);
  co_return words;
}

Task<Questions::Words> Questions::judge_own_status(Session& a, Answer answer, uint32_t before) {
  auto& verdict = findings_.status_of_own;
  if (!answer.lost.empty()) {
    verdict = Status::kSevers;
    co_return "cuts off the session: " + answer.lost;
  }
  if (!answer.ok()) {
    verdict = Status::kRefused;
    co_return "refused: " + answer.text();
  }
  if (answer.status_number("MESSAGES") != before) {
    verdict = complains(answer) ? Status::kComplains : Status::kFine;
    co_return verdict == Status::kFine ? "right"
                                       : "right, but the server takes it for a mistake of the client";
  }
  const char* complaint = complains(answer) ? ", and the server takes it for a mistake of the client" : "";
  co_await a.ask("NOOP");
  auto again = co_await a.ask("STATUS " + quoted(mailbox_.name()) + kItems);
  verdict = again.status_number("MESSAGES") == before ? Status::kStale : Status::kStaleUntilNoop;
  const std::string old = verdict == Status::kStale
                              ? "the numbers are those of the moment when the mailbox was opened"
                              : "the numbers are old until the next NOOP";
  co_return old + complaint;
}

Task<Questions::Words> Questions::append() {
  auto both = co_await pair();
  if (!both.trouble.empty()) co_return both.trouble;
  auto& [a, b, trouble] = both;
  auto opened = co_await a->open("SELECT", mailbox_.name());
  if (!opened.ok()) co_return "not found out: " + opened.text();
  auto appended = co_await mailbox_.append(*b);
  auto noop = co_await a->ask("NOOP");
  if (!noop.lost.empty()) {
    findings_.append = Append::kSevers;
    co_return "cuts off the session that has the mailbox open: " + noop.lost;
  }
  if (!appended.ok()) {
    findings_.append = Append::kRefused;
    co_return "refused: " + appended.text();
  }
  if (!noop.find(ResponseName::kExists)) {
    co_await async::sleep_for(kALittleLater);
    noop = co_await a->ask("NOOP");
  }
  const bool told = noop.find(ResponseName::kExists) != nullptr;
  findings_.append = told ? Append::kTold : Append::kNotTold;
  co_return told ? "works; the session that has the mailbox open is told with NOOP"
                 : "works; the session that has the mailbox open is not told";
}

}  // namespace imapmux::probe
