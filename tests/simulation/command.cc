#include "simulation/command.h"

#include <algorithm>

namespace imapmux::simulation {

using wire::Verb;

bool Command::is(std::initializer_list<Verb> verbs) const {
  return std::ranges::find(verbs, verb) != verbs.end();
}

bool Command::by_uid() const {
  return is({Verb::kUidFetch, Verb::kUidStore, Verb::kUidSearch, Verb::kUidCopy, Verb::kUidMove,
             Verb::kUidExpunge});
}

bool Command::by_number() const {
  return is({Verb::kFetch, Verb::kStore, Verb::kSearch, Verb::kCopy, Verb::kMove});
}

demo::Flags apply(demo::StoreMode mode, const demo::Flags& before, const demo::Flags& flags) {
  if (mode == demo::StoreMode::kReplace) return flags;
  demo::Flags after = before;
  for (const auto& flag : flags) {
    if (mode == demo::StoreMode::kAdd) {
      after.insert(flag);
    } else {
      after.erase(flag);
    }
  }
  return after;
}

}  // namespace imapmux::simulation
