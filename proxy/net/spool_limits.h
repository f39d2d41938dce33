// What all spools of the process may hold together, and where their files are. One for the process, outlives
// every Spool; thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace imapmux::net {

class SpoolLimits {
 public:
  // `most` in octets, in memory and on disk; `directory` absolute. From here on the process ignores SIGXFSZ,
  // so that writing beyond RLIMIT_FSIZE is an error and not the end.
  SpoolLimits(uint64_t most, std::string directory);
  SpoolLimits(const SpoolLimits&) = delete;
  SpoolLimits& operator=(const SpoolLimits&) = delete;

  // After a reload. What is in the spools stays, also if it is more.
  void set_most(uint64_t most) { most_ = most; }
  uint64_t most() const { return most_; }
  uint64_t used() const { return used_; }
  const std::string& directory() const { return directory_; }

  // False if there is no room for so many.
  bool take(uint64_t octets);
  void give_back(uint64_t octets) { used_ -= octets; }

 private:
  std::atomic<uint64_t> most_;
  std::atomic<uint64_t> used_ = 0;
  const std::string directory_;
};

// What one spool has taken of the limits; gives it back at its end.
class SpoolShare {
 public:
  explicit SpoolShare(SpoolLimits& limits) : limits_(&limits) {}
  ~SpoolShare() { limits_->give_back(octets_); }
  SpoolShare(SpoolShare&& other) noexcept
      : limits_(other.limits_), octets_(std::exchange(other.octets_, 0)) {}
  SpoolShare& operator=(SpoolShare&& other) noexcept {
    if (this != &other) {
      limits_->give_back(octets_);
      limits_ = other.limits_;
      octets_ = std::exchange(other.octets_, 0);
    }
    return *this;
  }

  SpoolLimits& limits() const { return *limits_; }
  bool take(uint64_t octets) {
    if (!limits_->take(octets)) return false;
    octets_ += octets;
    return true;
  }
  void give_back(uint64_t octets) {
    limits_->give_back(octets);
    octets_ -= octets;
  }

 private:
  SpoolLimits* limits_;
  uint64_t octets_ = 0;
};

}  // namespace imapmux::net
