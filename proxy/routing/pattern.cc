#include "routing/pattern.h"

#include "base/bytes.h"

namespace imapmux::routing {

namespace {

// The first octet of a character and those that continue it (RFC 3629).
size_t character_length(std::string_view text) {
  size_t length = 1;
  while (length < text.size() && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) ++length;
  return length;
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) {
  std::string_view after_star;  // the pattern behind the latest `*`
  std::string_view retry;       // the text that this `*` does not cover
  bool seen_star = false;
  while (true) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      after_star = pattern;
      retry = text;
      seen_star = true;
      continue;
    }
    if (pattern.empty() && text.empty()) return true;
    const bool one = !pattern.empty() && !text.empty();
    if (one && pattern.front() == '?') {
      pattern.remove_prefix(1);
      text.remove_prefix(character_length(text));
      continue;
    }
    if (one && base::to_lower(pattern.front()) == base::to_lower(text.front())) {
      pattern.remove_prefix(1);
      text.remove_prefix(1);
      continue;
    }
    if (!seen_star || retry.empty()) return false;
    retry.remove_prefix(character_length(retry));  // the star takes one character more
    text = retry;
    pattern = after_star;
  }
}

}  // namespace imapmux::routing
