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

Task<Opening> Sessions::open_more() {
  const size_t number = at(Who::kB) ? 2 + others_.size() : 1;
  auto opening = co_await door_.open(name_of(number), user_);
  if (opening.session && number == 1) {
    at(Who::kB) = std::move(opening.session);
  } else if (opening.session) {
    others_.push_back(std::move(opening.session));
  }
  co_return opening;
}

Task<> Sessions::close_others() {
  for (auto& session : others_) co_await session->close();
  others_.clear();
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
  co_await close_others();
  co_await close(Who::kB);
  co_await close(Who::kA);
}

Task<Session*> Sessions::any() {
  co_await close_others();
  co_await close(Who::kB);
  auto& first = at(Who::kA);
  if (first && !first->usable()) co_await close(Who::kA);
  auto session = co_await ready(Who::kA);
  co_return session;
}

}  // namespace imapmux::probe
