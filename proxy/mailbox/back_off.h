// When to try again what failed: 100 ms after the first failure, twice as long after each further one, 10 s
// at most; each time up to half of it less, so that those who failed together do not come back together. A
// plain value.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace imapmux::mailbox {

class BackOff {
 public:
  // `spread`: what tells those who fail at the same time from each other.
  void failed(base::Instant now, uint64_t spread) {
    pause_ = std::clamp(2 * pause_, kFirst, kLongest);
    const auto mixed = (spread ^ static_cast<uint64_t>(now.time_since_epoch().count())) * 0x9e3779b97f4a7c15;
    const auto less =
        base::Millis(static_cast<int64_t>((mixed >> 32) % static_cast<uint64_t>(pause_.count() / 2)));
    not_before_ = now + pause_ - less;
  }
  void succeeded() { *this = BackOff(); }
  bool may_try(base::Instant now) const { return now >= not_before_; }
  // 0: now.
  base::Millis left(base::Instant now) const {
    return std::max(base::Millis(0), std::chrono::ceil<base::Millis>(not_before_ - now));
  }

 private:
  static constexpr base::Millis kFirst{100};
  static constexpr base::Millis kLongest{10'000};
  base::Millis pause_{0};
  base::Instant not_before_{};
};

}  // namespace imapmux::mailbox
