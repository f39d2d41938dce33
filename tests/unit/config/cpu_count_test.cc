#include "config/cpu_count.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace imapmux::config {
namespace {

namespace fs = std::filesystem;

// /proc and /sys as far as the quota needs them.
class CpuCount : public testing::Test {
 protected:
  CpuCount() {
    std::string pattern = fs::temp_directory_path() / "imapmux-cpu-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~CpuCount() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

TEST_F(CpuCount, IsWithinBounds) {
  EXPECT_GE(usable_cpus(), 1U);
  EXPECT_LE(usable_cpus(), kMaxWorkers);
}

TEST_F(CpuCount, NoGroupsNoQuota) {
  EXPECT_EQ(std::nullopt, cgroup_quota(root_));
}

TEST_F(CpuCount, Version2IsRoundedUp) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(2U, cgroup_quota(root_));
  write("/sys/fs/cgroup/cpu.max", "10000 100000\n");
  EXPECT_EQ(1U, cgroup_quota(root_));
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(std::nullopt, cgroup_quota(root_));
}

TEST_F(CpuCount, TheLeastOfNestedGroupsCounts) {
  write("/proc/self/cgroup", "0::/system.slice/imapmux.service\n");
  write("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
  write("/sys/fs/cgroup/system.slice/imapmux.service/cpu.max", "800000 100000\n");
  EXPECT_EQ(3U, cgroup_quota(root_));
}

TEST_F(CpuCount, Version1) {
  write("/proc/self/cgroup", "5:memory:/x\n3:cpu,cpuacct:/docker/abc\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(3U, cgroup_quota(root_));
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(std::nullopt, cgroup_quota(root_));
}

}  // namespace
}  // namespace imapmux::config
