// Short words as numbers, to find them by comparing numbers instead of texts.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace imapmux::wire {

// The first 8 octets without regard to ASCII case: words of at most 8 octets have the same key if they are
// the same word. IMAP's words have no zero octets.
constexpr uint64_t key_of(std::string_view word) {
  uint64_t key = 0;
  for (const char c : word.substr(0, 8)) key = (key << 8) | static_cast<unsigned char>(base::to_upper(c));
  return key;
}

}  // namespace imapmux::wire
