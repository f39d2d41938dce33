// A queue between two tasks of one thread. Unbounded here: who pushes looks at size() and stops reading.
#pragma once

#include <deque>
#include <optional>

#include "async/wait.h"

namespace imapmux::async {

template <class T>
class Queue {
 public:
  void push(T value) {
    items_.push_back(std::move(value));
    waiters_.notify_one();
  }
  // Nothing more will come: pop() returns what is left, then nothing.
  void close() {
    closed_ = true;
    waiters_.notify_all();
  }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  bool closed() const { return closed_; }
  T& front() { return items_.front(); }
  void clear() { items_.clear(); }
  Task<std::optional<T>> pop() {
    while (items_.empty() && !closed_) co_await waiters_.wait();
    if (items_.empty()) co_return std::nullopt;
    std::optional<T> first(std::move(items_.front()));
    items_.pop_front();
    co_return first;
  }

 private:
  std::deque<T> items_;
  WaitList waiters_;
  bool closed_ = false;
};

}  // namespace imapmux::async
