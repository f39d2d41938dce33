#include "probe/sessions.h"

#include <utility>

namespace imapmux::probe {

namespace {

using async::Task;
using Verdict = Opening::Verdict;

// Servers count a connection for a moment after they have closed it (Courier's MAXPERIP, Dovecot's anvil).
constexpr int kTries = 8;
constexpr base::Millis kBetweenTries{500};

std::string name_of(size_t number) {
  return std::string(1, static_cast<char>('A' + number % 26));
}

bool may_pass(Verdict verdict) {
  return verdict == Verdict::kTurnedAway || verdict == Verdict::kNoSlot || verdict == Verdict::kCutAtLogin;
}

}  // namespace

Task<Opening> Sessions::begin() {
  auto opening = co_await door_.open(name_of(0), user_);
  at(Who::kA) = std::move(opening.session);
  co_return opening;
}

Task<Opening> Sessions::find_limit(uint32_t most, uint32_t& open) {
  std::vector<std::unique_ptr<Session>> more;
  Opening last;
  last.verdict = Verdict::kOpen;
  for (open = 1; open < most; ++open) {
    last = co_await door_.open(name_of(open), user_);
    if (last.verdict != Verdict::kOpen) break;
    more.push_back(std::move(last.session));
  }
  for (size_t i = 1; i < more.size(); ++i) co_await more[i]->close();
  if (!more.empty()) at(Who::kB) = std::move(more.front());
  co_return last;
}

Task<std::unique_ptr<Session>> Sessions::open_patiently(std::string name) {
  for (int tries = 1;; ++tries) {
    auto opening = co_await door_.open(name, user_);
    if (opening.verdict == Verdict::kOpen) co_return std::move(opening.session);
    why_none_ = opening.text;
    if (!may_pass(opening.verdict) || tries == kTries) co_return nullptr;
    co_await async::sleep_for(kBetweenTries);
  }
}

Task<Session*> Sessions::ready(Who who) {
  auto& session = at(who);
  if (session) {
    co_await session->leave();
    co_await session->ask("NOOP");
    if (session->usable()) co_return session.get();
    co_await close(who);
  }
  session = co_await open_patiently(name_of(static_cast<size_t>(who)));
  co_return session.get();
}

Task<> Sessions::close(Who who) {
  auto& session = at(who);
  if (session) co_await session->close();
  session.reset();
}

Task<> Sessions::close_all() {
  co_await close(Who::kB);
  co_await close(Who::kA);
}

Task<Session*> Sessions::any() {
  co_await close(Who::kB);
  auto& first = at(Who::kA);
  if (first && !first->usable()) co_await close(Who::kA);
  auto session = co_await ready(Who::kA);
  co_return session;
}

}  // namespace imapmux::probe
