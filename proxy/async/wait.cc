#include "async/wait.h"

namespace imapmux::async {

bool Wait::suspend(std::coroutine_handle<> handle, TaskContext& context) {
  context_ = &context;
  if (context.cancelled && shield_ == Shield::kNo) {
    outcome_ = Outcome::kCancelled;
    return false;
  }
  handle_ = handle;
  context.waiting = this;
  if (list_) list_->waiters_.push_back(*this);
  if (limit_) {
    timer_.emplace(context.scheduler, [this] { wake(Outcome::kTimeout); });
    timer_->start(*limit_);
  }
  return true;
}

void Wait::wake(Outcome outcome) {
  if (outcome_ != Outcome::kWaiting) return;
  outcome_ = outcome;
  if (timer_) timer_->stop();
  context_->scheduler.make_ready(*this);  // leaves the wait list
}

void Wait::cancel() {
  if (shield_ == Shield::kYes) return;
  // Cancelling wins over a notification that is on its way: every wait of a cancelled task throws.
  if (outcome_ == Outcome::kWaiting) {
    wake(Outcome::kCancelled);
  } else {
    const bool pass_on = passes_on_ && outcome_ == Outcome::kNotified;
    outcome_ = Outcome::kCancelled;
    if (pass_on) list_->notify_one();
  }
}

void Wait::run() {
  context_->waiting = nullptr;
  handle_.resume();
}

WaitResult Wait::await_resume() {
  if (outcome_ == Outcome::kCancelled) throw Cancelled();
  return outcome_ == Outcome::kTimeout ? WaitResult::kTimeout : WaitResult::kNotified;
}

}  // namespace imapmux::async
