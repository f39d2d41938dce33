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
  // spin, nor keep others from their turn.
  const uint64_t last = started_;
  while (!heap_.empty() && heap_.front()->due_ <= now_ && heap_.front()->order_ <= last) {
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
  timer.order_ = ++started_;
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

bool Scheduler::earlier(const Timer& a, const Timer& b) {
  return a.due_ != b.due_ ? a.due_ < b.due_ : a.order_ < b.order_;
}

void Scheduler::sift(size_t index) {
  const auto swap_nodes = [this](size_t a, size_t b) {
    std::swap(heap_[a], heap_[b]);
    heap_[a]->index_ = a;
    heap_[b]->index_ = b;
  };
  while (index > 0 && earlier(*heap_[index], *heap_[(index - 1) / 2])) {
    swap_nodes(index, (index - 1) / 2);
    index = (index - 1) / 2;
  }
  for (;;) {
    size_t least = index;
    for (size_t child = 2 * index + 1; child <= 2 * index + 2 && child < heap_.size(); ++child)
      if (earlier(*heap_[child], *heap_[least])) least = child;
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
