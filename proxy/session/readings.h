// The meters of all threads, added up. Any thread.
#pragma once

#include <array>

#include "base/meters.h"
#include "session/meter.h"

namespace imapmux::session {

struct Readings {
  struct Side {
    uint64_t received = 0;  // octets
    uint64_t sent = 0;
    uint64_t full_handshakes = 0;
    uint64_t resumed_handshakes = 0;
    uint64_t failed_handshakes = 0;
  };
  Side clients;
  Side backends;
  std::array<base::Durations::Total, Meter::kVerbs> commands;
  base::Durations::Total leases_granted;
  base::Durations::Total leases_refused;
  uint64_t retries = 0;
  uint64_t caught_up = 0;
  uint64_t read_again = 0;
  uint64_t began_anew = 0;
  uint64_t contradictions = 0;
  uint64_t spooled = 0;  // octets, since the start

  static Readings now();
  base::Durations::Total all_commands() const;
};

}  // namespace imapmux::session
