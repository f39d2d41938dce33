#include "mailbox/message_table.h"

#include <algorithm>
#include <limits>

namespace imapmux::mailbox {
namespace {

// More are no mailbox but a server gone mad, whose word is not worth the memory.
constexpr uint32_t kMostMessages = 20'000'000;

constexpr size_t kLog = 1024;
constexpr size_t kFewSets = 1024;

}  // namespace

MessageTable::MessageTable() {
  sets_.push_back({{}, "()", 0});  // unknown
}

uint32_t MessageTable::first_from(uint32_t uid) const {
  const auto found = std::lower_bound(uids_.begin(), uids_.begin() + known_, uid);
  return static_cast<uint32_t>(found - uids_.begin()) + 1;
}

uint32_t MessageTable::first_behind(uint32_t uid) const {
  const auto found = std::upper_bound(uids_.begin(), uids_.begin() + known_, uid);
  return static_cast<uint32_t>(found - uids_.begin()) + 1;
}

uint32_t MessageTable::number_of(uint32_t uid) const {
  const uint32_t number = first_from(uid);
  return number <= known_ && uids_[number - 1] == uid ? number : 0;
}

wire::SequenceSet MessageTable::present(const wire::SequenceSet& uids) const {
  using wire::SequenceSet;
  SequenceSet result;
  for (auto [first, last] : uids.ranges()) {
    if (first == SequenceSet::kStar || (last != SequenceSet::kStar && first > last)) std::swap(first, last);
    if (first == SequenceSet::kStar || (last == SequenceSet::kStar && first > last_uid())) {
      // RFC 3501, 6.4.8: the last message is part of it, however large the other end is.
      if (exists() > 0) result.add_range(first, last);
      continue;
    }
    const uint32_t from = first_from(first);
    const bool open = last == SequenceSet::kStar;
    const uint32_t behind = open ? known_ + 1 : first_behind(last);
    if (from >= behind) continue;
    result.add_range(uid(from), open ? SequenceSet::kStar : uid(behind - 1));
  }
  return result;
}

bool MessageTable::grow_to(uint32_t exists) {
  if (exists < this->exists() || exists > kMostMessages) return false;
  // A whole mailbox at once takes just what it needs; a few new messages take the usual steps.
  if (uids_.empty()) {
    uids_.reserve(exists);
    flags_.reserve(exists);
    changed_.reserve(exists);
  }
  uids_.resize(exists);
  flags_.resize(exists);
  changed_.resize(exists);
  return true;
}

bool MessageTable::expunge(uint32_t number) {
  if (number == 0 || number > exists()) return false;
  const auto at = static_cast<std::ptrdiff_t>(number) - 1;
  uids_.erase(uids_.begin() + at);
  flags_.erase(flags_.begin() + at);
  changed_.erase(changed_.begin() + at);
  if (number <= known_) --known_;
  if (number <= flags_known_) --flags_known_;
  return advance();
}

bool MessageTable::learn_uid(uint32_t number, uint32_t uid) {
  if (number == 0 || number > exists() || uid == 0) return false;
  uint32_t& place = uids_[number - 1];
  if (place != 0) return place == uid;
  if (uid <= last_uid()) return false;
  place = uid;
  return advance();
}

// UIDs ascend (RFC 3501, 2.3.1.1).
bool MessageTable::advance() {
  while (known_ < exists() && uids_[known_] != 0) {
    if (uids_[known_] <= last_uid()) return false;
    ++known_;
  }
  return true;
}

uint32_t MessageTable::intern(const FlagSet& set) {
  std::string text = set.to_string();
  if (const auto found = by_text_.find(text); found != by_text_.end()) return found->second;
  const auto index = static_cast<uint32_t>(sets_.size());
  sets_.push_back({set, text, index});
  by_text_.emplace(text, index);
  if (const auto plain = set.without_recent(); plain.to_string() != text) {
    const uint32_t same = intern(plain);
    sets_[index].plain = same;
  }
  return index;
}

uint32_t MessageTable::intern(std::string_view list) {
  if (const auto found = by_text_.find(list); found != by_text_.end()) return found->second;
  const auto set = FlagSet::parse(list);
  if (!set) return 0;
  const uint32_t index = intern(*set);
  by_text_.emplace(list, index);
  return index;
}

bool MessageTable::learn_flags(uint32_t number, std::string_view list) {
  if (number == 0 || number > exists()) return false;
  if (by_text_.size() > kFewSets + 2 * uids_.size()) forget_unused_sets();
  const uint32_t flags = intern(list);
  if (flags == 0) return false;
  const uint32_t before = flags_[number - 1];
  set_flags(number, flags);
  // What nobody knew nobody was told otherwise.
  if (before != 0 && sets_[before].plain != sets_[flags].plain) count_change(number);
  return true;
}

void MessageTable::assume_flags(uint32_t number, wire::FlagOperation operation, const FlagSet& flags) {
  if (by_text_.size() > kFewSets + 2 * uids_.size()) forget_unused_sets();
  const uint32_t before = flags_[number - 1];
  if (before == 0 && operation != wire::FlagOperation::kReplace) return;
  set_flags(number, intern(sets_[before].set.after(operation, flags)));
}

void MessageTable::set_flags(uint32_t number, uint32_t flags) {
  flags_[number - 1] = flags;
}

void MessageTable::count_change(uint32_t number) {
  if (changes_ == std::numeric_limits<uint32_t>::max()) {
    // Once in four thousand million changes everybody is told everything.
    changes_ = 1;
    std::fill(changed_.begin(), changed_.end(), 1);
    log_.clear();
  }
  changed_[number - 1] = ++changes_;
  log_.push_back(uids_[number - 1]);
  if (log_.size() > kLog) log_.pop_front();
}

uint32_t MessageTable::first_without_flags() {
  while (flags_known_ < known_ && flags_[flags_known_] != 0) ++flags_known_;
  return flags_known_ < known_ ? flags_known_ + 1 : 0;
}

void MessageTable::changed_since(uint32_t mark, std::vector<uint32_t>& numbers) const {
  numbers.clear();
  if (mark == changes_) return;
  mark = effective(mark);
  const size_t missed = changes_ - mark;
  if (missed <= log_.size()) {
    for (size_t i = log_.size() - missed; i < log_.size(); ++i) {
      const uint32_t number = number_of(log_[i]);
      const auto value = static_cast<uint32_t>(changes_ - (log_.size() - 1 - i));
      if (number != 0 && changed_[number - 1] == value) numbers.push_back(number);
    }
    return;
  }
  for (uint32_t number = 1; number <= known_; ++number)
    if (changed_[number - 1] > mark) numbers.push_back(number);
}

// A client that makes up keywords must not make the proxy keep them all.
void MessageTable::forget_unused_sets() {
  std::vector<Interned> old;
  old.swap(sets_);
  sets_.push_back(old.front());
  by_text_.clear();
  std::vector<uint32_t> moved(old.size());
  for (uint32_t& flags : flags_) {
    if (flags == 0) continue;
    if (moved[flags] == 0) moved[flags] = intern(old[flags].set);
    flags = moved[flags];
  }
}

}  // namespace imapmux::mailbox
