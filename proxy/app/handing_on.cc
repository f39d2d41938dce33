#include "app/handing_on.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace imapmux::app {
namespace {

using async::Task;
using base::Instant;
using base::Millis;
using mailbox::AccountSet;

constexpr Millis kLookAgain{20};
constexpr Millis kStep{100};

// The sets that an account may be given up with.
std::array<AccountSet, 3> sets_of(std::string_view backend, std::string_view login_name) {
  const std::string name(backend);
  return {AccountSet{}, AccountSet{name, {}}, AccountSet{name, base::lower(login_name)}};
}

// An account's, where an auth_http service has named the server: "legacy@host:143".
std::string backend_of(const mailbox::Account& account) {
  return account.backend().substr(0, account.backend().find('@'));
}

}  // namespace

bool HandingOn::has_given_up(std::string_view backend, std::string_view login_name) const {
  if (given_up_.empty()) return false;
  const auto sets = sets_of(backend, login_name);
  return std::any_of(sets.begin(), sets.end(), [&](const auto& set) { return given_up_.contains(set); });
}

template <class F>
void HandingOn::for_each_gift(const std::string& backend, const std::string& login_name, F f) {
  for (const auto& set : sets_of(backend, login_name))
    if (const auto found = under_way_.find(set); found != under_way_.end()) f(found->second);
}

void HandingOn::give_up(AccountSet accounts, Millis grace, std::function<void()> done) {
  given_up_.insert(accounts);
  auto& gift = under_way_[std::move(accounts)];
  if (gift.done.empty()) gift.deadline = host_.scheduler().now() + grace;
  gift.done.push_back(std::move(done));
  if (working_) return;
  working_ = true;
  tasks_.spawn(work(turn_));
}

Task<> HandingOn::work(uint64_t turn) {
  while (turn == turn_ && !under_way_.empty()) {
    for (auto& [accounts, gift] : under_way_) gift.is_left = false;
    const auto now = host_.scheduler().now();
    press_sessions(now);
    press_accounts(now);
    finish_gifts();
    co_await async::sleep_for(kLookAgain);
  }
  if (turn == turn_) working_ = false;
}

void HandingOn::press_sessions(Instant now) {
  sessions_.for_each([&](session::Session& session) {
    if (!session.has_account()) return;
    const auto account = session.account();
    for_each_gift(account.backend, account.user, [&](Gift& gift) {
      gift.is_left = true;
      if (now >= gift.deadline) {
        session.cut_off();
      } else if (!session.stopping()) {
        session.shut_down();
      }
    });
  });
}

void HandingOn::press_accounts(Instant now) {
  host_.shared_accounts().for_each([&](mailbox::SharedAccount& account) {
    for_each_gift(account.config().name, account.login_name(), [&](Gift& gift) {
      gift.is_left = true;
      account.wind_down();
      if (now >= gift.deadline && !gift.is_cut_off) account.close();
    });
  });
  for (auto& [accounts, gift] : under_way_) gift.is_cut_off = now >= gift.deadline;
  // Also what belongs to no session any more, and is being closed.
  host_.accounts().for_each_in_use([&](const mailbox::Account& account) {
    for_each_gift(backend_of(account), account.login_name(), [](Gift& gift) { gift.is_left = true; });
  });
}

void HandingOn::finish_gifts() {
  for (auto at = under_way_.begin(); at != under_way_.end();) {
    if (at->second.is_left) {
      ++at;
      continue;
    }
    const auto gift = std::move(at->second);
    at = under_way_.erase(at);
    for (const auto& done : gift.done) done();
  }
}

void HandingOn::give_up_all(Millis time, Millis grace) {
  tasks_.spawn(give_up_evenly(time, grace, turn_));
}

Task<> HandingOn::give_up_evenly(Millis time, Millis grace, uint64_t turn) {
  const auto end = host_.scheduler().now() + time;
  double due = 0;  // clients
  for (auto now = host_.scheduler().now(); turn == turn_ && now < end; now = host_.scheduler().now()) {
    std::vector<AccountSet> left;
    sessions_.for_each([&](session::Session& session) {
      if (session.has_account() && !session.stopping()) left.push_back(session.account());
    });
    const auto steps = std::max<int64_t>(1, (end - now) / kStep);
    due += static_cast<double>(left.size()) / static_cast<double>(steps);
    left.resize(std::min(left.size(), static_cast<size_t>(due)));
    due -= static_cast<double>(left.size());
    for (auto& account : left) give_up(std::move(account), grace, [] {});
    co_await async::sleep_for(kStep);
  }
}

void HandingOn::take_back() {
  ++turn_;
  working_ = false;
  given_up_.clear();
  under_way_.clear();
}

Task<> HandingOn::stop() {
  ++turn_;
  tasks_.cancel();
  co_await tasks_.join();
}

}  // namespace imapmux::app
