// Task<T>: a coroutine that starts when it is awaited, and whose frame is freed when the awaiting expression
// ends.
//
// Rules (they keep frames and waits safe, and are not checked by the compiler):
//  - every task is awaited by another task or spawned in a TaskScope; nothing is detached
//  - no coroutine lambdas with captures; arguments by value, or owned by whoever owns the scope
//  - `co_await` stands alone in its statement: auto reply = co_await ...;
//  - clean-up that must wait goes through run_scoped (task_scope.h): co_await can't stand in a catch block
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "async/frame_memory.h"
#include "async/scheduler.h"

namespace imapmux::async {

class Wait;

// Thrown by every wait of a task that was cancelled.
struct Cancelled final : std::exception {
  const char* what() const noexcept override { return "cancelled"; }
};

// What the frames of one spawned task have in common. Lives in the task's root frame.
struct TaskContext {
  explicit TaskContext(Scheduler& on) : scheduler(on) {}
  Scheduler& scheduler;
  bool cancelled = false;
  Wait* waiting = nullptr;  // where the innermost frame is suspended
};

namespace detail {

struct PromiseBase {
  TaskContext* context = nullptr;
  std::coroutine_handle<> continuation;
  std::exception_ptr error;

  static void* operator new(size_t size) { return FrameMemory::take(size); }
  static void operator delete(void* frame, size_t size) noexcept { FrameMemory::give(frame, size); }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) noexcept {
      return finished.promise().continuation;
    }
    void await_resume() noexcept {}
  };
  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  void return_void() noexcept {}
  void take() noexcept {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::Promise<T> {
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
  };

  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (frame_) frame_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  template <class Parent>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Parent> parent) noexcept {
    frame_.promise().context = parent.promise().context;
    frame_.promise().continuation = parent;
    return frame_;
  }
  T await_resume() {
    if (frame_.promise().error) std::rethrow_exception(frame_.promise().error);
    return frame_.promise().take();
  }

 private:
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

}  // namespace imapmux::async
