#include "admin/process_facts.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace imapmux::admin {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// proc(5): the fields of /proc/self/stat, from the third on; the second one may hold anything.
std::istringstream stat_behind_name() {
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto end = text.rfind(')');
  return std::istringstream(end == std::string::npos ? "" : text.substr(end + 1));
}

double boot_time() {
  std::ifstream file("/proc/stat");
  std::string word;
  while (file >> word) {
    double at = 0;
    if (word == "btime" && file >> at) return at;
  }
  return 0;
}

}  // namespace

ProcessFacts ProcessFacts::now() {
  ProcessFacts facts;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    facts.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.most_descriptors = limit.rlim_cur;

  auto stat = stat_behind_name();
  std::string skipped;
  for (int field = 3; field < 22; ++field) stat >> skipped;
  double started = 0;  // in ticks since the machine has booted
  uint64_t pages = 0;
  if (stat >> started >> facts.virtual_octets >> pages) {
    facts.started_at = boot_time() + started / static_cast<double>(sysconf(_SC_CLK_TCK));
    facts.resident_octets = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  std::error_code problem;
  for (std::filesystem::directory_iterator at("/proc/self/fd", problem), end; !problem && at != end;
       at.increment(problem))
    ++facts.open_descriptors;
  return facts;
}

}  // namespace imapmux::admin
