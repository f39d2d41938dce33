#include "async/scheduler.h"

#include <cassert>
#include <utility>

namespace imapmux::async {

Scheduler::~Scheduler() {
  assert(heap_.empty() && "a timer outlives its scheduler");
  assert(ready_.empty() && "a task outlives its scheduler");
}

void Scheduler::run_ready() {
  if (draining_) return;
  draining_ = true;
  while (auto* node = ready_.pop_front()) node->run();
  draining_ = false;
}

void Scheduler::run_timers() {
  // What a callback starts for "now" waits for the next call: a timer that restarts itself with 0 must not
  // spin.
  const size_t most = heap_.size();
  for (size_t i = 0; i < most && !heap_.empty() && heap_.front()->due_ <= now_; ++i) {
    Timer& timer = *heap_.front();
    timer.stop();
    timer.callback_();
  }
}

base::Instant Scheduler::next_timer() const {
  return heap_.empty() ? base::Instant::max() : heap_.front()->due_;
}

void Scheduler::insert(Timer& timer) {
  timer.index_ = heap_.size();
  heap_.push_back(&timer);
  sift(timer.index_);
}

void Scheduler::remove(Timer& timer) {
  const size_t hole = timer.index_;
  timer.index_ = Timer::kInactive;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  heap_[hole] = last;
  last->index_ = hole;
  sift(hole);
}

void Scheduler::sift(size_t index) {
  const auto swap_nodes = [this](size_t a, size_t b) {
    std::swap(heap_[a], heap_[b]);
    heap_[a]->index_ = a;
    heap_[b]->index_ = b;
  };
  while (index > 0 && heap_[index]->due_ < heap_[(index - 1) / 2]->due_) {
    swap_nodes(index, (index - 1) / 2);
    index = (index - 1) / 2;
  }
  for (;;) {
    size_t least = index;
    for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < heap_.size(); ++child)
      if (heap_[child]->due_ < heap_[least]->due_) least = child;
    if (least == index) return;
    swap_nodes(index, least);
    index = least;
  }
}

void Timer::start(base::Millis delay) {
  stop();
  due_ = scheduler_.now() + delay;
  scheduler_.insert(*this);
}

void Timer::stop() {
  if (active()) scheduler_.remove(*this);
}

}  // namespace imapmux::async
