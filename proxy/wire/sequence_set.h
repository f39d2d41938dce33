// Sequence sets: "1,3:5,*" (RFC 3501, 9). Kept as ranges in the order given, never expanded: 1:4294967295 is
// legal.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace imapmux::wire {

class SequenceSet {  // what one is that was moved from is not said
 public:
  static constexpr uint32_t kStar = 0;  // "*": no number is 0
  struct Range {
    uint32_t first;  // as written; kStar for "*"
    uint32_t last;
    friend bool operator==(const Range&, const Range&) = default;
  };

  // The whole of `text`, or nothing: 0, an empty member, a number beyond 32 bits, more than 10,000 ranges.
  static std::optional<SequenceSet> parse(std::string_view text);
  // The same question without the set.
  static bool is_valid(std::string_view text);
  // The largest number in `text`, "*" apart.
  static uint32_t largest_in(std::string_view text);

  void add(uint32_t number);  // extends the last range where it continues it
  void add_range(uint32_t first, uint32_t last);
  // Valid as long as the set is what it is.
  std::span<const Range> ranges() const {
    return has_only_ ? std::span<const Range>(&only_, 1) : std::span<const Range>(several_);
  }
  bool empty() const { return !has_only_ && several_.empty(); }
  // `star` is what "*" means now; 0 in an empty mailbox, where a range with "*" holds nothing. Reversed
  // ranges mean the same as ordered ones (RFC 3501, 9: seq-range).
  bool contains(uint32_t number, uint32_t star) const;
  // Ranges with "*" replaced, ordered, overlapping and adjacent ones merged.
  SequenceSet resolved(uint32_t star) const;
  // Largest number in it, "*" taken as `star`.
  uint32_t max(uint32_t star) const;
  std::string to_string() const;

 private:
  void push(Range range);
  Range& back() { return has_only_ ? only_ : several_.back(); }

  // Nearly all sets that clients name are of one range, which needs no memory elsewhere.
  bool has_only_ = false;
  Range only_{};
  std::vector<Range> several_;
};

}  // namespace imapmux::wire
