// A queue in one block of memory, of which little is kept while it is empty: a std::deque holds 576 octets
// from the beginning, and nearly all queues of nearly all clients are empty.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace imapmux::base {

template <class T>
class Fifo {
 public:
  bool empty() const { return taken_ == items_.size(); }
  size_t size() const { return items_.size() - taken_; }
  const T& front() const { return items_[taken_]; }
  T& back() { return items_.back(); }

  void push(T&& item) { emplace() = std::move(item); }

  // A new one at the end.
  T& emplace() {
    // Instead of growing, unless more would be moved than was taken.
    if (items_.size() == items_.capacity() && taken_ > size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(taken_));
      taken_ = 0;
    }
    return items_.emplace_back();
  }

  // The front.
  T take() {
    T item;
    take(item);
    return item;
  }
  // The same, in the place of `to`; what that held is freed, not left behind in the queue.
  void take(T& to) {
    T item = std::move(items_[taken_++]);
    to = std::move(item);
    if (!empty()) return;
    items_.clear();
    taken_ = 0;
    if (items_.capacity() > kKept) items_.shrink_to_fit();
  }

 private:
  static constexpr size_t kKept = 2;
  std::vector<T> items_;
  size_t taken_ = 0;  // at the beginning, moved from
};

}  // namespace imapmux::base
