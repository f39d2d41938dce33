#include "backend/server_health.h"

#include <algorithm>

namespace imapmux::backend {
namespace {

constexpr base::Millis kFirstPause{1'000};
constexpr base::Millis kLongestPause{30'000};
constexpr uint32_t kMostDoublings = 5;

}  // namespace

ServerHealth::Change ServerHealth::failed(base::Instant now, const Rules& rules) {
  const std::lock_guard lock(mutex_);
  const auto pause = kFirstPause * (1 << std::min(failures_, kMostDoublings));
  passed_over_until_ = now + std::min(kLongestPause, pause);
  ++failures_;
  successes_ = 0;
  if (!rules) return Change::kNone;
  if (intervals_ == 0 || now - counted_at_ >= rules->interval) {
    ++intervals_;
    counted_at_ = now;
  }
  if (down_ || intervals_ < rules->fall) return Change::kNone;
  down_ = true;
  return Change::kDown;
}

ServerHealth::Change ServerHealth::succeeded(base::Instant now, const Rules& rules) {
  heard(now);
  const std::lock_guard lock(mutex_);
  passed_over_until_ = {};
  failures_ = 0;
  intervals_ = 0;
  ++successes_;
  if (!down_ || (rules && successes_ < rules->rise)) return Change::kNone;
  down_ = false;
  return Change::kUp;
}

void ServerHealth::forget() {
  const std::lock_guard lock(mutex_);
  down_ = false;
  intervals_ = 0;
}

ServerHealth::Standing ServerHealth::standing(base::Instant now) const {
  const std::lock_guard lock(mutex_);
  if (down_) return Standing::kDown;
  return now < passed_over_until_ ? Standing::kPassedOver : Standing::kUp;
}

bool ServerHealth::in_doubt(base::Instant now, base::Millis quiet) const {
  const base::Instant heard{base::Millis(heard_.load(std::memory_order_relaxed))};
  const std::lock_guard lock(mutex_);
  return down_ || failures_ > 0 || now - heard >= quiet;
}

}  // namespace imapmux::backend
