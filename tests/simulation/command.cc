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

}  // namespace imapmux::simulation
