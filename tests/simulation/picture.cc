#include "simulation/picture.h"

#include <fmt/core.h>

#include <algorithm>

namespace imapmux::simulation {

using Problem = Picture::Problem;

uint32_t Picture::number_of(uint64_t id) const {
  const auto found = std::ranges::find(messages_, id, &Message::id);
  return found == messages_.end() ? 0 : static_cast<uint32_t>(found - messages_.begin()) + 1;
}

uint32_t Picture::last_uid() const {
  const auto last = std::find_if(messages_.rbegin(), messages_.rend(),
                                 [](const auto& message) { return message.uid != 0; });
  return last == messages_.rend() ? 0 : last->uid;
}

// RFC 3501, 7.3.1 and 7.4.1: only EXPUNGE makes it smaller.
Problem Picture::told_exists(uint32_t number) {
  if (number < exists()) return fmt::format("EXISTS shrinks from {} to {}", exists(), number);
  while (exists() < number) messages_.push_back({.id = ++ids_, .uid = 0, .flags = {}, .flags_told = {}});
  return std::nullopt;
}

Problem Picture::told_recent(uint32_t number) const {
  if (number > exists()) return fmt::format("{} RECENT of {} EXISTS", number, exists());
  return std::nullopt;
}

Problem Picture::told_number(uint32_t number) const {
  if (number == 0 || number > exists())
    return fmt::format("message {} is told of where {} EXISTS", number, exists());
  return std::nullopt;
}

Problem Picture::told_expunge(uint32_t number) {
  if (auto problem = told_number(number)) return problem;
  messages_.erase(messages_.begin() + number - 1);
  return std::nullopt;
}

// RFC 3501, 2.3.1.1: UIDs ascend with the numbers and never change.
Problem Picture::told_uid(uint32_t number, uint32_t uid) {
  if (auto problem = told_number(number)) return problem;
  const uint32_t known = at(number).uid;
  if (known == uid) return std::nullopt;
  if (known != 0) return fmt::format("message {} was UID {}, and now is UID {}", number, known, uid);
  for (uint32_t other = 1; other <= exists(); ++other) {
    const uint32_t its = at(other).uid;
    if (its == 0) continue;
    if (other < number ? its >= uid : its <= uid)
      return fmt::format("message {} is UID {}, but message {} is UID {}", number, uid, other, its);
  }
  at(number).uid = uid;
  return std::nullopt;
}

}  // namespace imapmux::simulation
