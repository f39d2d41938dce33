// What coroutines and timers run on: a ready list, timers, and a clock. One per thread; the event loop of a
// worker is one (net::EventLoop), a simulation drives one with a virtual clock. Not thread-safe.
//
// Nothing is resumed from inside the call that makes it ready: events, queues and timers put waiters on the
// ready list, which is drained at the end of the outermost callback. Otherwise a close() could destroy the
// owner of the function that called it.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/intrusive_list.h"
#include "base/time.h"

namespace imapmux::async {

class Timer;

// Something to do when the ready list is drained. Unlinks itself when it is destroyed.
class ReadyNode : public base::ListNode {
 public:
  virtual void run() = 0;

 protected:
  ~ReadyNode() = default;
};

class Scheduler {
 public:
  Scheduler() = default;
  virtual ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  base::Instant now() const { return now_; }
  void make_ready(ReadyNode& node) { ready_.push_back(node); }
  bool has_ready() const { return !ready_.empty(); }
  // Runs what is ready, and what becomes ready thereby, until nothing is. Never nested.
  void run_ready();

  // Fires the timers that are due at now().
  void run_timers();
  // When the next timer fires; Instant::max() if none is set.
  base::Instant next_timer() const;

 protected:
  void set_now(base::Instant now) { now_ = now; }

 private:
  friend class Timer;
  void insert(Timer& timer);
  void remove(Timer& timer);
  void sift(size_t index);

  base::Instant now_{};
  base::IntrusiveList<ReadyNode> ready_;
  static bool earlier(const Timer& a, const Timer& b);
  std::vector<Timer*> heap_;  // earliest first, among equals the one started first
  uint64_t started_ = 0;      // timers so far
  bool draining_ = false;
};

// Calls back once, on the scheduler's thread, `delay` after start(). The callback may start or stop this
// timer, but must not destroy it. Owned by whoever needs it; stops when it is destroyed.
class Timer {
 public:
  Timer(Scheduler& scheduler, std::function<void()> callback)
      : scheduler_(scheduler), callback_(std::move(callback)) {}
  ~Timer() { stop(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void start(base::Millis delay);  // starting again moves it
  void stop();
  bool active() const { return index_ != kInactive; }

 private:
  friend class Scheduler;
  static constexpr size_t kInactive = static_cast<size_t>(-1);
  Scheduler& scheduler_;
  std::function<void()> callback_;
  base::Instant due_{};
  uint64_t order_ = 0;
  size_t index_ = kInactive;
};

}  // namespace imapmux::async
