// Time as the whole program counts it: a monotonic clock with milliseconds, and durations in milliseconds.
#pragma once

#include <chrono>

namespace imapmux::base {

using Millis = std::chrono::milliseconds;
// A point on the monotonic clock of the scheduler (virtual in simulations); never the wall clock.
using Instant = std::chrono::time_point<std::chrono::steady_clock, Millis>;

}  // namespace imapmux::base
