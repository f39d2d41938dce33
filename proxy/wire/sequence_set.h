// Sequence sets: "1,3:5,*" (RFC 3501, 9). Kept as ranges in the order given, never expanded: 1:4294967295 is
// legal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imapmux::wire {

class SequenceSet {
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
  const std::vector<Range>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  // `star` is what "*" means now; 0 in an empty mailbox, where a range with "*" holds nothing. Reversed
  // ranges mean the same as ordered ones (RFC 3501, 9: seq-range).
  bool contains(uint32_t number, uint32_t star) const;
  // Ranges with "*" replaced, ordered, overlapping and adjacent ones merged.
  SequenceSet resolved(uint32_t star) const;
  // Largest number in it, "*" taken as `star`.
  uint32_t max(uint32_t star) const;
  std::string to_string() const;

 private:
  std::vector<Range> ranges_;
};

}  // namespace imapmux::wire
