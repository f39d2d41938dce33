// What the kernel knows of this process.
#pragma once

#include <cstdint>

namespace imapmux::admin {

struct ProcessFacts {
  double cpu_seconds = 0;
  double started_at = 0;  // seconds since 1970
  uint64_t resident_octets = 0;
  uint64_t virtual_octets = 0;
  uint64_t open_descriptors = 0;
  uint64_t most_descriptors = 0;
  static ProcessFacts now();
};

}  // namespace imapmux::admin
