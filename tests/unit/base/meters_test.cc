// Numbers that each thread counts for itself.
#include "base/meters.h"

#include <gtest/gtest.h>

#include <thread>

namespace imapmux::base {
namespace {

struct Apples {
  Counter eaten;
};

uint64_t eaten() {
  uint64_t all = 0;
  PerThread<Apples>::for_each([&](const Apples& one) { all += one.eaten.value(); });
  return all;
}

TEST(Meters, AllThreadsCountAlsoThoseThatHaveEnded) {
  PerThread<Apples>::mine().eaten.add(2);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([] {
      for (int n = 0; n < 1'000; ++n) PerThread<Apples>::mine().eaten.add();
    });
  uint64_t before = 0;
  for (int i = 0; i < 100; ++i) {  // read meanwhile
    const auto now = eaten();
    EXPECT_GE(now, before);
    before = now;
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(eaten(), 3'002U);
}

TEST(Meters, DurationsFallIntoTheBucketsOfTheirBounds) {
  Durations durations;
  for (const int millis : {-1, 0, 1, 2, 3, 4, 5, 32'768, 32'769, 1'000'000}) durations.add(Millis(millis));
  Durations::Total total;
  durations.add_to(total);
  EXPECT_EQ(total.counts[0], 3U);  // up to 1 ms
  EXPECT_EQ(total.counts[1], 1U);  // 2
  EXPECT_EQ(total.counts[2], 2U);  // 3, 4
  EXPECT_EQ(total.counts[3], 1U);  // 5
  EXPECT_EQ(total.counts[15], 1U);
  EXPECT_EQ(Durations::bound_ms(15), 32'768U);
  EXPECT_EQ(total.counts[16], 2U);  // beyond
  EXPECT_EQ(total.count(), 10U);
  EXPECT_EQ(total.millis, 0U + 1 + 2 + 3 + 4 + 5 + 32'768 + 32'769 + 1'000'000);
}

}  // namespace
}  // namespace imapmux::base
