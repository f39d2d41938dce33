// What sessions count, each thread for itself (base::PerThread).
#pragma once

#include <array>

#include "base/meters.h"
#include "wire/command_table.h"

namespace imapmux::session {

struct Meter {
  // Commands that were answered, by Verb: from when they were taken up to their tagged answer, IDLE up to its
  // "+". Behind a relay's login nobody sees them.
  static constexpr size_t kVerbs = static_cast<size_t>(wire::Verb::kUidThread) + 1;
  std::array<base::Durations, kVerbs> commands;
  base::Counter retries;  // commands that ran again since their backend connection was lost
  static Meter& mine() { return base::PerThread<Meter>::mine(); }
  static void answered(wire::Verb verb, base::Millis after) {
    mine().commands[static_cast<size_t>(verb)].add(after);
  }
};

}  // namespace imapmux::session
