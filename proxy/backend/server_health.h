// Whether one server of a backend can be used: what connecting to it came to lately. Its Server's, for as
// long as the configuration names that server, also over reloads. Any thread (a mutex, taken once per
// connection).
//
// One failure makes a server be passed over for a moment, while others are up. With health checks it is down
// after failures in `fall` intervals in a row: those of one interval count as one, since a server that is
// restarted fails all who come meanwhile, and is back before anybody could check. It is up again after `rise`
// connections in a row.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "base/time.h"
#include "config/config.h"

namespace imapmux::backend {

class ServerHealth {
 public:
  enum class Standing : uint8_t { kUp, kPassedOver, kDown };  // the best first
  enum class Change : uint8_t { kNone, kDown, kUp };
  using Rules = std::optional<config::HealthCheck>;  // nothing: it is never down

  // The outcome of connecting, for a client or to check.
  Change failed(base::Instant now, const Rules& rules);
  Change succeeded(base::Instant now, const Rules& rules);
  // A command was answered, or relayed octets came. Called for each, from all threads: written to only when
  // the millisecond is another one.
  void heard(base::Instant now) {
    const int64_t millis = now.time_since_epoch().count();
    if (heard_.load(std::memory_order_relaxed) != millis) heard_.store(millis, std::memory_order_relaxed);
  }
  // There are no health checks any more: what they found must not last for ever.
  void forget();

  Standing standing(base::Instant now) const;
  // Whether a check would tell something: the last connection failed, or nothing was heard for so long.
  bool in_doubt(base::Instant now, base::Millis quiet) const;

 private:
  mutable std::mutex mutex_;
  bool down_ = false;
  uint32_t failures_ = 0;   // in a row
  uint32_t intervals_ = 0;  // in a row that had one
  base::Instant counted_at_{};
  uint32_t successes_ = 0;             // in a row
  base::Instant passed_over_until_{};  // 1 s after a failure, doubling to 30 s
  std::atomic<int64_t> heard_{0};      // milliseconds of the monotonic clock
};

}  // namespace imapmux::backend
