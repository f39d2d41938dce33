#include "demo/list_pattern.h"

#include <string>

#include "base/bytes.h"

namespace imapmux::demo {

namespace {

// Iterative with one step back per kind of wildcard: no pattern takes exponential time. A "*" seen later
// makes going back to an earlier "%" useless, but not the other way round.
bool matches(std::string_view name, std::string_view pattern) {
  constexpr size_t kNone = std::string_view::npos;
  size_t n = 0, p = 0;
  size_t star_p = kNone, star_n = 0;
  size_t percent_p = kNone, percent_n = 0;
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      star_p = ++p;
      star_n = n;
      percent_p = kNone;
      continue;
    }
    if (p < pattern.size() && pattern[p] == '%') {
      percent_p = ++p;
      percent_n = n;
      continue;
    }
    if (n < name.size() && p < pattern.size() && name[n] == pattern[p]) {
      ++n;
      ++p;
      continue;
    }
    if (n == name.size() && p == pattern.size()) return true;
    if (percent_p != kNone && percent_n < name.size() && name[percent_n] != kDelimiter) {
      n = ++percent_n;
      p = percent_p;
      continue;
    }
    if (star_p != kNone && star_n < name.size()) {
      n = ++star_n;
      p = star_p;
      percent_p = kNone;
      continue;
    }
    return false;
  }
}

}  // namespace

bool matches_pattern(std::string_view name, std::string_view pattern) {
  if (matches(name, pattern)) return true;
  return name == "INBOX" && matches(name, base::upper(pattern));
}

}  // namespace imapmux::demo
