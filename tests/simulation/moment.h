// When something happened: by the virtual clock, and among what happened in the same millisecond.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <deque>

#include "async/scheduler.h"

namespace imapmux::simulation {

struct Moment {
  uint64_t order = 0;  // 0: before everything
  base::Instant time{};
  friend auto operator<=>(const Moment& a, const Moment& b) { return a.order <=> b.order; }
  friend bool operator==(const Moment& a, const Moment& b) { return a.order == b.order; }
};

class Moments {
 public:
  explicit Moments(const async::Scheduler& clock) : clock_(clock) {}
  // Later than all before it.
  Moment now() {
    const Moment moment{++last_, clock_.now()};
    if (firsts_.empty() || firsts_.back().time != moment.time) firsts_.push_back(moment);
    if (firsts_.size() > kKept) firsts_.pop_front();
    return moment;
  }
  // Later than all that happened before this time, and earlier than all since.
  Moment at(base::Instant time) const {
    const auto next = std::ranges::lower_bound(firsts_, time, {}, &Moment::time);
    return {next == firsts_.end() ? last_ + 1 : next->order, time};
  }

 private:
  static constexpr size_t kKept = 200'000;
  const async::Scheduler& clock_;
  uint64_t last_ = 0;
  std::deque<Moment> firsts_;  // of each millisecond in which something happened
};

}  // namespace imapmux::simulation
