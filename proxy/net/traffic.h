// What goes over the wire, counted by each thread for itself (base::PerThread).
#pragma once

#include "base/meters.h"
#include "net/stream.h"

namespace imapmux::net {

// Of one side: clients or backends.
struct SideTraffic {
  base::Counter received;  // octets, TLS records as they are
  base::Counter sent;
  base::Counter handshakes;  // of TLS, complete ones
  base::Counter resumed;     // of these
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
