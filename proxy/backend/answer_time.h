// How long something takes lately, as a moving average. Any thread; where it happens often, one sample per
// millisecond is enough, so that threads do not share a cache line for each.
#pragma once

#include <atomic>
#include <optional>

#include "base/time.h"

namespace imapmux::backend {

class AnswerTime {
 public:
  void note(base::Millis took, base::Instant now) {
    const int64_t millis = now.time_since_epoch().count();
    if (noted_at_.load(std::memory_order_relaxed) == millis) return;
    noted_at_.store(millis, std::memory_order_relaxed);
    const int64_t sample = took.count() * 1000;
    const int64_t before = micros_.load(std::memory_order_relaxed);
    // Two at once: one of them is lost, which is no matter.
    micros_.store(before == kNothing ? sample : before + (sample - before) / 8, std::memory_order_relaxed);
  }
  std::optional<std::chrono::microseconds> average() const {
    const int64_t micros = micros_.load(std::memory_order_relaxed);
    if (micros == kNothing) return std::nullopt;
    return std::chrono::microseconds(micros);
  }

 private:
  static constexpr int64_t kNothing = -1;
  std::atomic<int64_t> noted_at_{0};
  std::atomic<int64_t> micros_{kNothing};
};

}  // namespace imapmux::backend
