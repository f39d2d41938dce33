#include "mailbox/mailbox_view.h"

#include <algorithm>

namespace imapmux::mailbox {
namespace {

// A range as a client writes it, in order, with "*" replaced.
std::pair<uint32_t, uint32_t> ordered(wire::SequenceSet::Range range, uint32_t star) {
  const auto number = [&](uint32_t member) { return member == wire::SequenceSet::kStar ? star : member; };
  return std::minmax(number(range.first), number(range.last));
}

}  // namespace

uint32_t MailboxView::ghosts_before(uint32_t number) const {
  return static_cast<uint32_t>(std::lower_bound(ghosts_.begin(), ghosts_.end(), number) - ghosts_.begin());
}

// The smallest v with v - |{g <= v}| = number. The i-th ghost lies before it if at most `number` living
// messages do not fit before that ghost: g - i <= number, and g - i never falls.
uint32_t MailboxView::to_view(uint32_t number) const {
  size_t low = 0;
  size_t high = ghosts_.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (ghosts_[middle] - middle <= number) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return number + static_cast<uint32_t>(low);
}

uint32_t MailboxView::to_table(uint32_t number) const {
  const uint32_t before = ghosts_before(number);
  const bool ghost = before < ghosts_.size() && ghosts_[before] == number;
  return ghost ? 0 : number - before;
}

void MailboxView::on_expunge(uint32_t number) {
  const uint32_t mine = to_view(number);
  if (mine > count_) return;  // it came and went unseen
  ghosts_.insert(ghosts_.begin() + ghosts_before(mine), mine);
}

MailboxView::Messages MailboxView::messages(const wire::SequenceSet& numbers, const MessageTable& table,
                                            uint32_t told) const {
  Messages result;
  for (const auto range : numbers.ranges()) {
    const auto [first, last] = ordered(range, told);
    if (first == 0 || last > told) {
      result.invalid = true;
      return result;
    }
    // The living among them are the table's from the first that is not before `first` to the last not behind
    // `last`.
    const uint32_t low = first - ghosts_before(first);
    const uint32_t high = last - ghosts_before(last + 1);
    if (high + 1 - low < last - first + 1) result.ghosts = true;
    if (low > high) continue;
    if (low == high) {
      result.uids.add(table.uid(low));
    } else {
      result.uids.add_range(table.uid(low), table.uid(high));
    }
  }
  return result;
}

bool MailboxView::any_ghost(const wire::SequenceSet& numbers, uint32_t told) const {
  if (ghosts_.empty()) return false;
  return std::ranges::any_of(numbers.ranges(), [&](wire::SequenceSet::Range range) {
    const auto [first, last] = ordered(range, told);
    return ghosts_before(last + 1) > ghosts_before(first);
  });
}

void MailboxView::tell_expunged(std::vector<uint32_t>& numbers) {
  // The highest first: each is said in the numbers that the client has then.
  numbers.assign(ghosts_.rbegin(), ghosts_.rend());
  count_ -= static_cast<uint32_t>(ghosts_.size());
  ghosts_.clear();
}

uint32_t MailboxView::tell_exists(uint32_t known) {
  const uint32_t now = known + static_cast<uint32_t>(ghosts_.size());
  if (now <= count_) return 0;
  count_ = now;
  return now;
}

}  // namespace imapmux::mailbox
