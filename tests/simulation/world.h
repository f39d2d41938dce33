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
  // When a mailbox (demo::MailboxId) that was selected was so no more.
  std::map<uint64_t, std::vector<Moment>> deselections;
  // The last time before `then` or the first one behind it is less than `ago` ago.
  bool deselected_lately(uint64_t mailbox, Moment then, base::Millis ago) const {
    const auto found = deselections.find(mailbox);
    if (found == deselections.end()) return false;
    const auto& times = found->second;
    const auto lately = [&](Moment one) { return scheduler.now() - one.time < ago; };
    const auto behind = std::ranges::upper_bound(times, then);
    return (behind != times.begin() && lately(*std::prev(behind))) ||
           (behind != times.end() && lately(*behind));
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
