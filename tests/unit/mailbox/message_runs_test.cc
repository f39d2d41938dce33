#include "mailbox/message_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace imapmux::mailbox {
namespace {

MessageTable table_of(const std::vector<uint32_t>& uids) {
  MessageTable table;
  EXPECT_TRUE(table.grow_to(static_cast<uint32_t>(uids.size())));
  uint32_t number = 0;
  for (const uint32_t uid : uids) EXPECT_TRUE(table.learn_uid(++number, uid));
  return table;
}

TEST(MessageRuns, NeighboursAreOneRunWhateverTheirUids) {
  const auto table = table_of({5, 8, 100, 4'294'967'295});
  MessageRuns runs;
  EXPECT_TRUE(runs.empty());
  for (uint32_t number = 1; number <= 4; ++number) runs.add(table, number);
  EXPECT_EQ(runs.size(), 1U);
  EXPECT_TRUE(runs.contains(5));
  EXPECT_TRUE(runs.contains(4'294'967'295));
  EXPECT_FALSE(runs.contains(4));
}

TEST(MessageRuns, WhatIsMissingIsInNone) {
  const auto table = table_of({5, 8, 11, 14, 17});
  MessageRuns runs;
  for (const uint32_t number : {1U, 2U, 5U, 4U, 2U}) runs.add(table, number);
  EXPECT_EQ(runs.size(), 2U);
  EXPECT_TRUE(runs.contains(8));
  EXPECT_FALSE(runs.contains(11));
  EXPECT_TRUE(runs.contains(14));
  runs.add(table, 3);
  EXPECT_EQ(runs.size(), 1U);
  runs.clear();
  EXPECT_FALSE(runs.contains(5));
}

TEST(MessageRuns, ExpungesInBetweenChangeNothing) {
  auto table = table_of({5, 8, 11, 14});
  MessageRuns runs;
  runs.add(table, 1);
  runs.add(table, 2);
  ASSERT_TRUE(table.expunge(2));
  runs.add(table, 2);
  runs.add(table, 3);
  for (const uint32_t uid : {5U, 8U, 11U, 14U}) EXPECT_TRUE(runs.contains(uid));
}

TEST(MessageRuns, AnyOrderAndAnyExpunges) {
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    std::vector<uint32_t> uids(50);
    std::iota(uids.begin(), uids.end(), 1U);
    for (auto& uid : uids) uid = uid * 3 + random() % 3;
    auto table = table_of(uids);
    MessageRuns runs;
    std::set<uint32_t> added;
    for (int i = 0; i < 60; ++i) {
      const uint32_t number = static_cast<uint32_t>(random() % table.known()) + 1;
      if (random() % 4 == 0) {
        table.expunge(number);
        continue;
      }
      added.insert(table.uid(number));
      runs.add(table, number);
    }
    for (uint32_t number = 1; number <= table.known(); ++number)
      ASSERT_EQ(runs.contains(table.uid(number)), added.contains(table.uid(number)));
  }
}

}  // namespace
}  // namespace imapmux::mailbox
