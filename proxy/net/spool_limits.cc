#include "net/spool_limits.h"

#include <signal.h>

#include "net/traffic.h"

namespace imapmux::net {

SpoolLimits::SpoolLimits(uint64_t most, std::string directory)
    : most_(most), directory_(std::move(directory)) {
  ::signal(SIGXFSZ, SIG_IGN);
}

bool SpoolLimits::take(uint64_t octets) {
  uint64_t used = used_;
  do {
    const uint64_t most = most_;
    if (used > most || octets > most - used) return false;
  } while (!used_.compare_exchange_weak(used, used + octets));
  Traffic::mine().spooled.add(octets);
  return true;
}

}  // namespace imapmux::net
