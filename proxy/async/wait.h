// Where a task waits: the awaiter behind events and queues, with an optional time limit.
#pragma once

#include <optional>

#include "async/task.h"

namespace imapmux::async {

enum class WaitResult { kNotified, kTimeout };

class WaitList;

// An awaiter. It registers itself in a WaitList when it suspends and unlinks itself when it is resumed or
// destroyed, so it can be neither copied nor moved. Throws Cancelled if its task is cancelled, before or
// while it waits.
class [[nodiscard]] Wait : public ReadyNode {
 public:
  enum class Shield { kNo, kYes };  // kYes: not interrupted by cancelling; for joins only
  Wait(WaitList* list, std::optional<base::Millis> limit, Shield shield = Shield::kNo)
      : list_(list), limit_(limit), shield_(shield) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    return suspend(handle, *handle.promise().context);
  }
  WaitResult await_resume();

  // The list's and the scope's side.
  void notify() { wake(Outcome::kNotified); }
  void cancel();

 private:
  friend class WaitList;
  enum class Outcome { kWaiting, kNotified, kTimeout, kCancelled };
  bool suspend(std::coroutine_handle<> handle, TaskContext& context);
  void wake(Outcome outcome);
  void run() override;

  WaitList* list_;
  std::optional<base::Millis> limit_;
  Shield shield_;
  Outcome outcome_ = Outcome::kWaiting;
  bool passes_on_ = false;  // woken by notify_one()
  std::coroutine_handle<> handle_;
  TaskContext* context_ = nullptr;
  std::optional<Timer> timer_;
};

// Who waits for something, first come first served. It must outlive whoever notify_one() woke until they run:
// if they are cancelled before, the notification goes on to the next one.
class WaitList {
 public:
  Wait wait() { return {this, std::nullopt}; }
  Wait wait_for(base::Millis limit) { return {this, limit}; }
  void notify_one() {
    if (waiters_.empty()) return;
    Wait& first = waiters_.front();
    first.passes_on_ = true;
    first.notify();
  }
  void notify_all() {
    while (!waiters_.empty()) waiters_.front().notify();
  }
  bool empty() const { return waiters_.empty(); }

 private:
  friend class Wait;
  base::IntrusiveList<Wait> waiters_;
};

// Waits for nothing but the time.
inline Wait sleep_for(base::Millis duration) {
  return {nullptr, duration};
}

// Stays set until reset.
class Event {
 public:
  bool is_set() const { return set_; }
  void set() {
    set_ = true;
    waiters_.notify_all();
  }
  void reset() { set_ = false; }
  Task<> wait() {
    while (!set_) co_await waiters_.wait();
  }
  // kTimeout if it was not set in time.
  Task<WaitResult> wait_for(base::Millis limit) {
    if (set_) co_return WaitResult::kNotified;
    auto result = co_await waiters_.wait_for(limit);
    co_return set_ ? WaitResult::kNotified : result;
  }

 private:
  bool set_ = false;
  WaitList waiters_;
};

}  // namespace imapmux::async
