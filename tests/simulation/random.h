// The dice of a run: the same seed gives the same numbers everywhere. One per run.
#pragma once

#include <cstdint>
#include <random>

namespace imapmux::simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // 0 to n - 1; n is not 0.
  uint32_t below(uint64_t n) { return static_cast<uint32_t>(engine_() % n); }
  // Both ends included.
  uint32_t between(uint32_t least, uint32_t most) { return least + below(uint64_t{most} - least + 1); }
  bool percent(uint32_t chance) { return below(100) < chance; }
  template <class List>
  auto& pick(List& list) {
    return list[below(std::size(list))];
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace imapmux::simulation
