// All that the proxy holds for one login name on one backend: for now its places for backend connections.
//
// Owned by the worker that its key hashes to, on that thread; lives while a session uses it. With `shared`
// access the verified credentials and the shared mailboxes will live here as well.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "async/wait.h"
#include "base/intrusive_list.h"

namespace imapmux::mailbox {

class Account {
 public:
  Account(std::string backend, std::string login_name)
      : backend_(std::move(backend)), login_name_(std::move(login_name)) {}
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  // Who wants to know when a place has become free.
  class Watcher : public base::ListNode {
   public:
    virtual void on_place_free() noexcept = 0;
    // Another one of the user needs a place (share_credentials: identical).
    virtual void on_place_wanted() noexcept = 0;

   protected:
    ~Watcher() = default;
  };
  void watch(Watcher& watcher) { watchers_.push_back(watcher); }
  // `who` (may be null) needs a place: others give one back that they do not use just now.
  void want_place(const Watcher* who) {
    watchers_.for_each([who](Watcher& watcher) {
      if (&watcher != who) watcher.on_place_wanted();
    });
  }

  // One of the K places for a backend connection; given back when it is destroyed, which may be after the
  // session.
  class Slot {
   public:
    Slot() = default;
    explicit Slot(std::shared_ptr<Account> of) : of_(std::move(of)) { ++of_->used_; }
    Slot(Slot&&) = default;
    Slot& operator=(Slot&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~Slot() {
      if (!of_) return;
      --of_->used_;
      of_->freed_.notify_one();
      of_->watchers_.for_each([](Watcher& watcher) { watcher.on_place_free(); });
    }
    explicit operator bool() const { return of_ != nullptr; }
    const Account& account() const { return *of_; }  // not of an empty one

   private:
    std::shared_ptr<Account> of_;
  };

  // Waits for a place among `most` (0 = no limit) for at most `limit`; an empty Slot if none became free, or
  // if `give_up` says so after stop_waiting() (the client has gone).
  static async::Task<Slot> take_slot(std::shared_ptr<Account> account, async::Scheduler& scheduler,
                                     uint32_t most, base::Millis limit, std::function<bool()> give_up);
  // The right to have a credential verified by the backend: one at a time, so that those who guess take one
  // place at most.
  class Check {
   public:
    Check() = default;
    explicit Check(std::shared_ptr<Account> of) : of_(std::move(of)) { of_->checking_ = true; }
    Check(Check&&) = default;
    Check& operator=(Check&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~Check() { end(); }
    void end() {
      if (!of_) return;
      of_->checking_ = false;
      of_->next_check();
      of_.reset();
    }
    explicit operator bool() const { return of_ != nullptr; }

   private:
    std::shared_ptr<Account> of_;
  };
  // Who comes from where somebody succeeded before goes before strangers.
  enum class Rank : uint8_t { kKnown, kStranger };
  // Waits for it for at most `limit`; empty if it did not come, or if `give_up` says so.
  static async::Task<Check> begin_check(std::shared_ptr<Account> account, async::Scheduler& scheduler,
                                        Rank rank, base::Millis limit, std::function<bool()> give_up);
  void stop_waiting() {
    freed_.notify_all();
    known_.notify_all();
    strangers_.notify_all();
  }

  const std::string& backend() const { return backend_; }
  const std::string& login_name() const { return login_name_; }
  uint32_t used() const { return used_; }

 private:
  // A wake-up that was meant for one who gave up goes on to the next. Only where a place is free: who is
  // woken for nothing loses its place in the line.
  void pass_on(uint32_t most);
  void next_check();

  std::string backend_;
  std::string login_name_;
  uint32_t used_ = 0;
  async::WaitList freed_;
  base::IntrusiveList<Watcher> watchers_;
  bool checking_ = false;
  async::WaitList known_;  // who wait for a check
  async::WaitList strangers_;
};

// The accounts of one worker.
class Accounts {
 public:
  std::shared_ptr<Account> get(const std::string& backend, const std::string& login_name);
  // Those that have a connection, or of which somebody has a place for one.
  template <class F>
  void for_each_in_use(F f) const {
    for (const auto& [key, weak] : accounts_) {
      const auto account = weak.lock();
      if (account && account->used() > 0) f(*account);
    }
  }
  // Which of `workers` an account belongs to. The name in lower case counts, so that names that may contend
  // for one mailbox meet on one worker.
  static size_t owner(std::string_view backend, std::string_view login_name, size_t workers);

 private:
  std::unordered_map<std::string, std::weak_ptr<Account>> accounts_;
  size_t clean_at_ = 64;
};

}  // namespace imapmux::mailbox
