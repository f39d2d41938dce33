#include "config/cpu_count.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "config/scalars.h"

namespace imapmux::config {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> words_of(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<std::string> words;
  for (std::string word; words.size() < 2 && stream >> word;) words.push_back(word);
  return words;
}

std::optional<uint32_t> divide(const std::string& quota, const std::string& period) {
  const auto quota_us = parse_integer(quota);  // nothing for "max" and "-1": no quota
  const auto period_us = parse_integer(period);
  if (!quota_us || !period_us || *quota_us == 0 || *period_us == 0) return std::nullopt;
  return static_cast<uint32_t>(std::min<uint64_t>((*quota_us - 1) / *period_us + 1, kMaxWorkers));
}

std::optional<uint32_t> quota_v2(const fs::path& group) {
  const auto words = words_of(group / "cpu.max");
  return words.size() == 2 ? divide(words[0], words[1]) : std::nullopt;
}

std::optional<uint32_t> quota_v1(const fs::path& group) {
  const auto quota = words_of(group / "cpu.cfs_quota_us");
  const auto period = words_of(group / "cpu.cfs_period_us");
  return quota.empty() || period.empty() ? std::nullopt : divide(quota[0], period[0]);
}

// The least quota of a group and the groups around it. In a container the path may name a group that is not
// visible there; the loop then finds the mounted one at its end.
std::optional<uint32_t> least_quota(const fs::path& mount, const std::string& group,
                                    std::optional<uint32_t> (*quota_of)(const fs::path&)) {
  std::optional<uint32_t> least;
  fs::path relative = fs::path(group).relative_path();
  while (true) {
    const auto quota = quota_of(mount / relative);
    if (quota) least = std::min(least.value_or(*quota), *quota);
    if (relative.empty()) return least;
    relative = relative.parent_path();
  }
}

bool lists_cpu(std::string_view controllers) {
  const std::string list = "," + std::string(controllers) + ",";
  return list.find(",cpu,") != std::string::npos;
}

uint32_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<uint32_t>(CPU_COUNT(&set));
  return std::max(std::thread::hardware_concurrency(), 1U);  // more than 1024 processors
}

}  // namespace

std::optional<uint32_t> cgroup_quota(const std::string& root) {
  std::ifstream groups(root + "/proc/self/cgroup");
  std::optional<uint32_t> least;
  const auto note = [&](std::optional<uint32_t> quota) {
    if (quota) least = std::min(least.value_or(*quota), *quota);
  };
  for (std::string line; std::getline(groups, line);) {  // "0::/path" or "3:cpu,cpuacct:/path"
    std::istringstream fields(line);
    std::string number;
    std::string controllers;
    std::string path;
    std::getline(fields, number, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    const std::string mount = root + "/sys/fs/cgroup";
    if (number == "0") note(least_quota(mount, path, quota_v2));
    if (!lists_cpu(controllers)) continue;
    const auto quota = least_quota(mount + "/" + controllers, path, quota_v1);
    note(quota ? quota : least_quota(mount + "/cpu", path, quota_v1));
  }
  return least;
}

uint32_t usable_cpus() {
  const uint32_t cpus = affinity();
  return std::clamp(std::min(cpus, cgroup_quota().value_or(cpus)), 1U, kMaxWorkers);
}

}  // namespace imapmux::config
