// What all parts of one run share: the virtual clock, the dice, the record of who said what, and the first
// thing that went wrong. Owned by the Simulation; outlives everything else of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "simulation/dialogue.h"
#include "simulation/moment.h"
#include "simulation/random.h"
#include "simulation/verdict.h"
#include "support/memory_stream.h"

namespace imapmux::simulation {

struct World {
  World(uint64_t seed, bool verbose) : random(seed), dialogue(scheduler, verbose), moments(scheduler) {}

  testing_support::VirtualScheduler scheduler;
  Random random;
  Dialogue dialogue;
  Moments moments;
  Verdict verdict;
  bool ending = false;  // the proxy is shutting down: it waits for nothing any more
  // Connections of a user to the backend that were cut, or fell silent.
  struct Losses {
    size_t unnoticed = 0;         // the proxy does not know yet
    std::vector<Moment> noticed;  // when it got to know
  };
  std::map<std::string, Losses> losses;
  size_t losses_since(const std::string& user, Moment then) const {
    const auto found = losses.find(user);
    if (found == losses.end()) return 0;
    const auto& [unnoticed, noticed] = found->second;
    return unnoticed +
           static_cast<size_t>(std::ranges::count_if(noticed, [&](Moment loss) { return loss >= then; }));
  }
  // When the server took no connections.
  struct Outage {
    base::Instant begin;
    base::Instant end;
  };
  std::vector<Outage> outages;
  uint64_t steps = 0;  // commands of clients and events at the server, so far
};

}  // namespace imapmux::simulation
