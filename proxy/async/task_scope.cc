#include "async/task_scope.h"

#include <cassert>

#include "base/log.h"

namespace imapmux::async {

struct TaskScope::Root {
  struct promise_type : RootNode, ReadyNode {
    promise_type(TaskScope& owner, Task<>&)
        : RootNode(owner.scheduler_), scope(owner), context(&root_context) {}
    Root get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }  // frees the frame
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }  // run() catches everything
    void run() override { std::coroutine_handle<promise_type>::from_promise(*this).resume(); }

    TaskScope& scope;
    TaskContext* context;  // under the name that Task and Wait look for
  };
  std::coroutine_handle<promise_type> frame;
};

TaskScope::Root TaskScope::run(TaskScope& scope, Task<> task) {
  try {
    co_await task;
  } catch (const Cancelled&) {  // NOLINT(bugprone-empty-catch): as asked
  } catch (const std::exception& error) {
    base::log::error("task ended by an unexpected error: {}", error.what());
  } catch (...) {
    base::log::error("task ended by an unexpected error");
  }
  scope.finished();
}

TaskScope::~TaskScope() {
  assert(roots_.empty() && "tasks outlive their scope");
}

void TaskScope::spawn(Task<> task) {
  auto root = run(*this, std::move(task));
  RootNode& node = root.frame.promise();
  node.root_context.cancelled = cancelled_;
  roots_.push_back(node);
  scheduler_.make_ready(root.frame.promise());
}

void TaskScope::cancel() {
  cancelled_ = true;
  roots_.for_each([](RootNode& node) {
    node.root_context.cancelled = true;
    if (node.root_context.waiting) node.root_context.waiting->cancel();
  });
}

void TaskScope::finished() {
  // Called in the last moments of a root frame, which is still in the list: joiners run later, from the ready
  // list, when the frame has unlinked itself.
  joiners_.notify_all();
}

Task<> TaskScope::join() {
  while (!roots_.empty()) co_await Wait(&joiners_, std::nullopt, Wait::Shield::kYes);
}

}  // namespace imapmux::async
