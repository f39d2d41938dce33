#include "wire/sequence_set.h"

#include <algorithm>
#include <utility>

#include "wire/lexical.h"

namespace imapmux::wire {
namespace {

constexpr size_t kMaxRanges = 10'000;

std::optional<uint32_t> parse_member(std::string_view text) {
  if (text == "*") return SequenceSet::kStar;
  if (text.empty() || text.front() == '0') return std::nullopt;
  return parse_number32(text);
}

std::pair<uint32_t, uint32_t> ordered(SequenceSet::Range range, uint32_t star) {
  const uint32_t first = range.first == SequenceSet::kStar ? star : range.first;
  const uint32_t last = range.last == SequenceSet::kStar ? star : range.last;
  return std::minmax(first, last);
}

// In an empty mailbox "*" stands for nothing, and so does a range to it.
bool stands_for_nothing(SequenceSet::Range range, uint32_t star) {
  return star == 0 && (range.first == SequenceSet::kStar || range.last == SequenceSet::kStar);
}

void append_member(std::string& out, uint32_t member) {
  if (member == SequenceSet::kStar) {
    out += '*';
  } else {
    out += std::to_string(member);
  }
}

// False: it is none. What stood before the fault was visited.
template <class Visit>
bool for_each_range(std::string_view text, Visit visit) {
  for (size_t count = 0; count < kMaxRanges; ++count) {
    const size_t comma = text.find(',');
    const std::string_view member = text.substr(0, comma);
    const size_t colon = member.find(':');
    const auto first = parse_member(member.substr(0, colon));
    const auto last = colon == std::string_view::npos ? first : parse_member(member.substr(colon + 1));
    if (!first || !last) return false;
    visit(SequenceSet::Range{*first, *last});
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

std::optional<SequenceSet> SequenceSet::parse(std::string_view text) {
  SequenceSet set;
  if (!for_each_range(text, [&](Range range) { set.push(range); })) return std::nullopt;
  return set;
}

bool SequenceSet::is_valid(std::string_view text) {
  return for_each_range(text, [](Range) {});
}

uint32_t SequenceSet::largest_in(std::string_view text) {
  uint32_t largest = 0;
  for_each_range(text, [&](Range range) { largest = std::max(largest, ordered(range, 0).second); });
  return largest;
}

void SequenceSet::add(uint32_t number) {
  if (!empty() && number != kStar) {
    Range& last = back();
    if (last.first != kStar && last.first <= last.last && last.last == number - 1) {
      last.last = number;
      return;
    }
  }
  push({number, number});
}

void SequenceSet::push(Range range) {
  if (empty()) {
    only_ = range;
    has_only_ = true;
    return;
  }
  if (has_only_) several_.push_back(only_);
  has_only_ = false;
  several_.push_back(range);
}

void SequenceSet::add_range(uint32_t first, uint32_t last) {
  push({first, last});
}

bool SequenceSet::contains(uint32_t number, uint32_t star) const {
  if (number == 0) return false;
  return std::ranges::any_of(ranges(), [&](Range range) {
    if (stands_for_nothing(range, star)) return false;
    const auto [low, high] = ordered(range, star);
    return low <= number && number <= high;
  });
}

SequenceSet SequenceSet::resolved(uint32_t star) const {
  std::vector<Range> sorted;
  sorted.reserve(ranges().size());
  for (const Range range : ranges()) {
    if (stands_for_nothing(range, star)) continue;
    const auto [low, high] = ordered(range, star);
    sorted.push_back({low, high});
  }
  std::sort(sorted.begin(), sorted.end(), [](Range a, Range b) { return a.first < b.first; });
  SequenceSet merged;
  for (const Range range : sorted) {
    if (!merged.empty() && range.first - 1 <= merged.back().last) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push(range);
    }
  }
  return merged;
}

uint32_t SequenceSet::max(uint32_t star) const {
  uint32_t largest = 0;
  for (const Range range : ranges()) largest = std::max(largest, ordered(range, star).second);
  return largest;
}

std::string SequenceSet::to_string() const {
  std::string out;
  for (const Range range : ranges()) {
    if (!out.empty()) out += ',';
    append_member(out, range.first);
    if (range.last == range.first) continue;
    out += ':';
    append_member(out, range.last);
  }
  return out;
}

}  // namespace imapmux::wire
