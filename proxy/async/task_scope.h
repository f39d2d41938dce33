// Owns running tasks: whoever spawns them keeps the scope, and the scope must be empty before it goes.
#pragma once

#include "async/wait.h"

namespace imapmux::async {

class TaskScope {
 public:
  explicit TaskScope(Scheduler& scheduler) : scheduler_(scheduler) {}
  ~TaskScope();  // asserts that it is empty
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;

  // The task begins when the ready list is drained, never inside this call. An exception that leaves it is
  // logged, Cancelled silently. A task spawned in a cancelled scope begins cancelled.
  void spawn(Task<> task);
  // Every wait of every task throws Cancelled, now and later. Never waits; join() does.
  void cancel();
  bool cancelled() const { return cancelled_; }
  bool empty() const { return roots_.empty(); }
  // Waits until it is empty; not interrupted by cancelling the caller.
  Task<> join();
  Scheduler& scheduler() { return scheduler_; }

 private:
  struct Root;  // the outermost frame of a task
  struct RootNode : base::ListNode {
    explicit RootNode(Scheduler& scheduler) : root_context(scheduler) {}
    TaskContext root_context;
  };
  static Root run(TaskScope& scope, Task<> task);
  void finished();

  Scheduler& scheduler_;
  base::IntrusiveList<RootNode> roots_;
  WaitList joiners_;
  bool cancelled_ = false;
};

// Runs body(scope) in a scope of its own; when it ends, however it ends, what it spawned is cancelled and
// joined, and its exception goes on. `body` must outlive the call (a member function bound by the caller's
// frame is fine).
template <class Body>
Task<> run_scoped(Scheduler& scheduler, Body body) {
  TaskScope scope(scheduler);
  std::exception_ptr error;
  try {
    co_await body(scope);
  } catch (...) {
    error = std::current_exception();
  }
  scope.cancel();
  co_await scope.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace imapmux::async
