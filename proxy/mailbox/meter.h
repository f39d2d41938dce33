// What accounts and mailboxes count, each thread for itself (base::PerThread).
#pragma once

#include "base/meters.h"

namespace imapmux::mailbox {

struct Meter {
  // Waits for leases, by what came of them; those that were free take no time.
  base::Durations leases_granted;
  base::Durations leases_refused;
  // Mailboxes that clients had open, and that were opened on the backend once more: how the difference became
  // known.
  base::Counter caught_up;   // from EXISTS and UIDNEXT
  base::Counter read_again;  // from all UIDs
  base::Counter began_anew;  // it is another mailbox now, or contradicts itself again: its clients got BYE
  base::Counter contradictions;
  static Meter& mine() { return base::PerThread<Meter>::mine(); }
};

}  // namespace imapmux::mailbox
