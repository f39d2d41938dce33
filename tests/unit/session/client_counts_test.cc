// How many clients an address or a user may have.
#include "session/client_counts.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace imapmux::session {
namespace {

TEST(ClientCounts, AKeyHasSoManyPlacesAndGetsThemBack) {
  ClientCounts counts;
  auto first = counts.take("a", 2);
  auto second = counts.take("a", 2);
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(counts.take("a", 2));
  EXPECT_TRUE(counts.take("b", 2)) << "another key has places of its own";
  first.reset();
  EXPECT_TRUE(counts.take("a", 2));
}

TEST(ClientCounts, ZeroIsNoLimitAndIsCountedAllTheSame) {
  ClientCounts counts;
  std::vector<ClientCounts::Place> places;
  for (int i = 0; i < 1000; ++i) places.push_back(std::move(*counts.take("a", 0)));
  EXPECT_FALSE(counts.take("a", 1000)) << "a reload sets the limit for clients that come now";
  EXPECT_TRUE(counts.take("a", 1001));
}

TEST(ClientCounts, KeysWithoutClientsAreForgotten) {
  ClientCounts counts;
  {
    auto one = counts.take("a", 0);
    auto other = counts.take("b", 0);
    EXPECT_EQ(counts.keys(), 2U);
  }
  EXPECT_EQ(counts.keys(), 0U);
}

TEST(ClientCounts, APlaceThatMovesIsGivenBackOnce) {
  ClientCounts counts;
  ClientCounts::Place kept;
  {
    auto taken = counts.take("a", 1);
    kept = std::move(*taken);
  }
  EXPECT_FALSE(counts.take("a", 1));
  const ClientCounts::Place moved = std::move(kept);
  kept = ClientCounts::Place();
  EXPECT_FALSE(counts.take("a", 1));
}

TEST(ClientCounts, PlacesComeAndGoOnManyThreads) {
  ClientCounts counts;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&counts] {
      for (int i = 0; i < 5000; ++i) {
        const auto place = counts.take(std::to_string(i % 64), 3);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counts.keys(), 0U);
}

}  // namespace
}  // namespace imapmux::session
