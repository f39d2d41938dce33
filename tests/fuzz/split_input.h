// What the fuzzers share: the first octets choose limits and where the rest is cut; both ways must say the
// same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "unit/wire/transcript.h"

namespace imapmux::wire {

struct FuzzInput {
  uint8_t choice = 0;  // of options
  uint8_t step = 0;    // octets of a piece; 0: two halves
  std::string_view octets;

  FuzzInput(const uint8_t* data, size_t size) {
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    if (size < 2) return;
    choice = data[0];
    step = data[1] % 16;
    octets = all.substr(2);
  }

  Chunks pieces() const {
    Chunks out;
    const size_t length = step > 0 ? step : octets.size() / 2 + 1;
    for (size_t at = 0; at < octets.size(); at += length) out.push_back(octets.substr(at, length));
    return out;
  }
};

inline void expect_same(const std::string& whole, const std::string& split) {
  if (whole == split) return;
  std::fprintf(stderr, "--- whole\n%s--- split\n%s", whole.c_str(), split.c_str());
  std::abort();
}

}  // namespace imapmux::wire
