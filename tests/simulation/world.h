// What all parts of one run share: the virtual clock, the dice, the record of who said what, and the first
// thing that went wrong. Owned by the Simulation; outlives everything else of it.
#pragma once

#include <cstdint>

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
  uint64_t steps = 0;   // commands of clients and events at the server, so far
};

}  // namespace imapmux::simulation
