// How many processors this process may use: what `workers: auto` means.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace imapmux::config {

inline constexpr uint32_t kMaxWorkers = 64;

// The processors' worth of time that the control groups (v2 or v1) grant, rounded up; nothing without a
// quota. `root` is prepended to /proc and /sys, for tests.
std::optional<uint32_t> cgroup_quota(const std::string& root = {});

// The smaller of affinity and quota, 1 … kMaxWorkers.
uint32_t usable_cpus();

}  // namespace imapmux::config
