// What is asked of the proxy in one run. A value.
#pragma once

#include "base/time.h"

namespace imapmux::simulation {

enum class Access : uint8_t { kExclusive, kShared };

struct Rules {
  Access access = Access::kExclusive;
  bool cuts = false;  // the backend cuts connections, as crashes and routers do
  // From a command's last octet to its answer, and from a change to its being told in IDLE.
  base::Millis answer_limit{60'000};
  base::Millis idle_limit{10'000};

  bool shared() const { return access == Access::kShared; }
};

}  // namespace imapmux::simulation
