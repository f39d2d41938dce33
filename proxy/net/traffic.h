// What goes over the wire, counted by each thread for itself (base::PerThread).
#pragma once

#include "base/meters.h"
#include "net/stream.h"

namespace imapmux::net {

// Of one side: clients or backends.
struct SideTraffic {
  base::Counter received;  // octets, TLS records as they are
  base::Counter sent;
  // TLS handshakes by outcome, each counted once: a difference of two counters, read while one is written,
  // would go down now and then.
  base::Counter full_handshakes;
  base::Counter resumed_handshakes;
  base::Counter failed_handshakes;
};

struct Traffic {
  SideTraffic clients;
  SideTraffic backends;
  base::Counter spooled;  // octets
  static Traffic& mine() { return base::PerThread<Traffic>::mine(); }
  static SideTraffic& mine(Side side) { return side == Side::kClient ? mine().clients : mine().backends; }
};

}  // namespace imapmux::net
