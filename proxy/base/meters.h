// What happens often is counted without a lock and without a cache line that threads share: each thread has
// numbers of its own, which only it writes and any thread reads. Whoever wants to know them (the admin
// endpoint) adds up those of all threads. Numbers of threads that have ended still count.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/time.h"

namespace imapmux::base {

// Only ever grows. Written by one thread.
class Counter {
 public:
  void add(uint64_t more = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How long things took, in milliseconds, which is what the loop's clock has. Written by one thread.
class Durations {
 public:
  // Bounds are powers of two: up to 1 ms, 2 ms, 4 ms … 32.768 s, and beyond.
  static constexpr size_t kBounds = 16;
  static constexpr uint64_t bound_ms(size_t index) { return uint64_t{1} << index; }

  // Sums over threads.
  struct Total {
    std::array<uint64_t, kBounds + 1> counts{};  // each without those below
    uint64_t millis = 0;
    uint64_t count() const {
      uint64_t all = 0;
      for (const auto one : counts) all += one;
      return all;
    }
  };

  void add(Millis took) {
    const auto millis = static_cast<uint64_t>(std::max<int64_t>(took.count(), 0));
    const auto index = static_cast<size_t>(std::bit_width(millis > 0 ? millis - 1 : 0));
    counts_[std::min(index, kBounds)].add();
    millis_.add(millis);
  }
  void add_to(Total& total) const {
    for (size_t i = 0; i < counts_.size(); ++i) total.counts[i] += counts_[i].value();
    total.millis += millis_.value();
  }

 private:
  std::array<Counter, kBounds + 1> counts_;
  Counter millis_;
};

// One T for each thread that asks for it, for the rest of the process.
template <class T>
class PerThread {
 public:
  static T& mine() {
    if (!mine_) [[unlikely]]
      mine_ = &make();
    return *mine_;
  }
  // Any thread.
  template <class F>
  static void for_each(F f) {
    auto& all = everybody();
    const std::lock_guard lock(all.mutex);
    for (const auto& one : all.ones) f(static_cast<const T&>(one->value));
  }

 private:
  struct alignas(64) One {
    T value;
  };
  struct Everybody {
    std::mutex mutex;
    std::vector<std::unique_ptr<One>> ones;
  };
  // Not destroyed at the end of the process: a thread that is still there may count.
  static Everybody& everybody() {
    static auto& all = *new Everybody;
    return all;
  }
  static T& make() {
    auto& all = everybody();
    const std::lock_guard lock(all.mutex);
    all.ones.push_back(std::make_unique<One>());
    return all.ones.back()->value;
  }

  static constinit inline thread_local T* mine_ = nullptr;
};

}  // namespace imapmux::base
