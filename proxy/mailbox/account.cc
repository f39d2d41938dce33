#include "mailbox/account.h"

#include "base/bytes.h"

namespace imapmux::mailbox {

async::Task<Account::Slot> Account::take_slot(std::shared_ptr<Account> account, async::Scheduler& scheduler,
                                              uint32_t most, base::Millis limit,
                                              std::function<bool()> give_up) {
  if (most == 0 || (account->used_ < most && account->freed_.empty())) co_return Slot(account);
  const auto deadline = scheduler.now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<base::Millis>(deadline - scheduler.now());
    if (left.count() <= 0 || give_up()) {
      account->pass_on(most);
      co_return Slot();
    }
    try {
      co_await account->freed_.wait_for(left);
    } catch (const async::Cancelled&) {
      account->pass_on(most);
      throw;
    }
    if (account->used_ < most) co_return Slot(account);
  }
}

void Account::pass_on(uint32_t most) {
  if (used_ < most) freed_.notify_one();
}

async::Task<Account::Check> Account::begin_check(std::shared_ptr<Account> account,
                                                 async::Scheduler& scheduler, Rank rank, base::Millis limit,
                                                 std::function<bool()> give_up) {
  auto& mine = rank == Rank::kKnown ? account->known_ : account->strangers_;
  const auto deadline = scheduler.now() + limit;
  for (bool first_in_line = mine.empty();; first_in_line = true) {
    const bool gives_up = give_up();
    const bool passed = rank == Rank::kStranger && !account->known_.empty();
    if (!gives_up && first_in_line && !passed && !account->checking_) co_return Check(account);
    const auto left = std::chrono::duration_cast<base::Millis>(deadline - scheduler.now());
    if (left.count() <= 0 || gives_up) {
      account->next_check();
      co_return Check();
    }
    try {
      co_await mine.wait_for(left);
    } catch (const async::Cancelled&) {
      account->next_check();
      throw;
    }
  }
}

void Account::next_check() {
  if (checking_) return;
  if (known_.empty()) {
    strangers_.notify_one();
  } else {
    known_.notify_one();
  }
}

std::shared_ptr<Account> Accounts::get(const std::string& backend, const std::string& login_name) {
  std::string key = backend + '\0' + login_name;
  auto& entry = accounts_[key];
  if (auto existing = entry.lock()) return existing;
  auto account = std::make_shared<Account>(backend, login_name);
  entry = account;
  if (accounts_.size() >= clean_at_) {
    std::erase_if(accounts_, [](const auto& item) { return item.second.expired(); });
    clean_at_ = 2 * accounts_.size() + 64;
  }
  return account;
}

size_t Accounts::owner(std::string_view backend, std::string_view login_name, size_t workers) {
  return std::hash<std::string>{}(std::string(backend) + '\0' + base::lower(login_name)) % workers;
}

}  // namespace imapmux::mailbox
