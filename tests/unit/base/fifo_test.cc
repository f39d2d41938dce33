// Fifo against std::deque.
#include "base/fifo.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <utility>

namespace imapmux::base {
namespace {

TEST(Fifo, GivesWhatWasPushedInItsOrder) {
  std::mt19937 random(5);
  Fifo<std::unique_ptr<int>> fifo;
  std::deque<int> model;
  int next = 0;
  for (int step = 0; step < 20'000; ++step) {
    // Long rows of pushes and of takes, and the queue often empty.
    const bool filling = (step / 50) % 2 == 0;
    if (random() % 4 != 0 ? filling : !filling) {
      fifo.push(std::make_unique<int>(next));
      model.push_back(next++);
      EXPECT_EQ(*fifo.back(), model.back());
    } else if (!model.empty()) {
      EXPECT_EQ(*fifo.front(), model.front());
      EXPECT_EQ(*fifo.take(), model.front());
      model.pop_front();
    }
    ASSERT_EQ(fifo.size(), model.size());
    ASSERT_EQ(fifo.empty(), model.empty());
  }
  EXPECT_GT(next, 5'000);
}

struct Counted {
  static inline int alive = 0;
  Counted() { ++alive; }
  Counted(Counted&&) noexcept { ++alive; }
  Counted& operator=(Counted&&) noexcept = default;
  ~Counted() { --alive; }
};

// A queue that is never empty must not keep what it has given.
TEST(Fifo, DoesNotGrowWithWhatHasPassed) {
  Fifo<Counted> fifo;
  fifo.push(Counted());
  int most = 0;
  for (int i = 0; i < 1000; ++i) {
    fifo.push(Counted());
    (void)fifo.take();
    most = std::max(most, Counted::alive);
  }
  EXPECT_LE(most, 10);
  (void)fifo.take();
  EXPECT_EQ(Counted::alive, 0);
}

// Octets of those that are alive.
struct Weighed {
  static inline size_t all = 0;
  size_t mine = 0;
  Weighed() = default;
  explicit Weighed(size_t octets) : mine(octets) { all += octets; }
  Weighed(Weighed&& other) noexcept : mine(std::exchange(other.mine, 0)) {}
  // As strings do: what was here goes to the other one.
  Weighed& operator=(Weighed&& other) noexcept {
    std::swap(mine, other.mine);
    return *this;
  }
  ~Weighed() { all -= mine; }
};

// Who takes into the same place again and again has the last one there, and the queue has it no more.
TEST(Fifo, KeepsNothingOfWhatItHasGiven) {
  Fifo<Weighed> fifo;
  Weighed place;
  for (int i = 0; i < 200; ++i) fifo.push(Weighed(1));  // a large block
  size_t most = 0;
  for (int i = 0; i < 1'000; ++i) {
    while (fifo.size() > 2) fifo.take(place);
    fifo.push(Weighed(1000));
    fifo.take(place);
    most = std::max(most, Weighed::all);
  }
  EXPECT_LE(most, 4'200U);
}

}  // namespace
}  // namespace imapmux::base
