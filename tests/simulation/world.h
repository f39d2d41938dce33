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
  // When connections of the user to the backend were cut.
  std::map<std::string, std::vector<Moment>> cuts;
  size_t cuts_since(const std::string& user, Moment then) const {
    const auto found = cuts.find(user);
    if (found == cuts.end()) return 0;
    return static_cast<size_t>(std::ranges::count_if(found->second, [&](Moment cut) { return cut >= then; }));
  }
  uint64_t steps = 0;  // commands of clients and events at the server, so far
};

}  // namespace imapmux::simulation
