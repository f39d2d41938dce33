// What is asked of the proxy in one run, and what it has to bear. A value.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace imapmux::simulation {

enum class Access : uint8_t { kExclusive, kShared };

struct Rules {
  Access access = Access::kExclusive;
  // Connections to the backend: of each user (K), and in all (0: no limit).
  uint32_t most_of_user = 16;
  uint32_t most_in_all = 0;
  bool scarce = false;    // not all users can have theirs at once: logins may be refused
  bool cuts = false;      // the backend cuts connections, as crashes and routers do
  bool silences = false;  // connections fall silent: half-open
  bool restarts = false;
  bool renewals = false;  // mailboxes that nobody has selected get another UIDVALIDITY
  // UIDNEXT never goes back, so that mailboxes need not be read anew.
  bool sticky = true;
  base::Millis poll_interval{5'000};
  base::Millis backend_wait{60'000};
  base::Millis command_timeout{300'000};
  // From a command's last octet to its answer, and from a change to its being told in IDLE.
  base::Millis answer_limit{120'000};
  base::Millis idle_limit{15'000};

  bool any_trouble() const { return cuts || silences || restarts; }
  // Of a mailbox that was set aside for another one, flags are read again so late.
  base::Millis age_of_flags() const {
    return shared() && sticky ? poll_interval + base::Millis(1'000) : base::Millis(0);
  }
  bool shared() const { return access == Access::kShared; }
};

}  // namespace imapmux::simulation
