#include "mailbox/message_table.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace imapmux::mailbox {
namespace {

MessageTable table_of(std::initializer_list<uint32_t> uids) {
  MessageTable table;
  EXPECT_TRUE(table.grow_to(static_cast<uint32_t>(uids.size())));
  uint32_t number = 0;
  for (const uint32_t uid : uids) EXPECT_TRUE(table.learn_uid(++number, uid));
  return table;
}

std::vector<uint32_t> changed(const MessageTable& table, uint32_t mark) {
  std::vector<uint32_t> numbers;
  table.changed_since(mark, numbers);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string present(const MessageTable& table, std::string_view uids) {
  return table.present(*wire::SequenceSet::parse(uids)).to_string();
}

TEST(MessageTable, SetsOfUidsBeginAndEndWithMessagesThatAreThere) {
  const auto table = table_of({1, 3, 5, 9});
  EXPECT_EQ(present(table, "3"), "3");
  EXPECT_EQ(present(table, "1:9"), "1:9");
  EXPECT_EQ(present(table, "2"), "");
  EXPECT_EQ(present(table, "2,3,4"), "3");
  EXPECT_EQ(present(table, "2:4"), "3");
  EXPECT_EQ(present(table, "6:2"), "3:5");
  EXPECT_EQ(present(table, "4:100,1"), "5:9,1");
  EXPECT_EQ(present(table, "6:8,10:4294967295"), "");
  EXPECT_EQ(present(table, "1:4294967295"), "1:9");
  EXPECT_EQ(present(table, "2:*"), "3:*");
  EXPECT_EQ(present(table, "*:2"), "3:*");
  // The last message, or what has come in since.
  EXPECT_EQ(present(table, "*"), "*");
  EXPECT_EQ(present(table, "10:*"), "10:*");
  EXPECT_EQ(present(MessageTable(), "1:*,*,1:5"), "");
}

TEST(MessageTable, MoreMessagesThanAnyMailboxHasAreNotBelieved) {
  auto table = table_of({1, 3});
  EXPECT_FALSE(table.grow_to(4'294'967'295));
  EXPECT_EQ(table.exists(), 2);
  EXPECT_TRUE(table.grow_to(3));
}

TEST(MessageTable, AMessageIsKnownWhenItsUidAndThoseBeforeItAre) {
  MessageTable table;
  ASSERT_TRUE(table.grow_to(3));
  EXPECT_EQ(table.known(), 0U);
  EXPECT_TRUE(table.learn_uid(1, 10));
  EXPECT_TRUE(table.learn_uid(3, 30));
  EXPECT_EQ(table.known(), 1U);
  EXPECT_FALSE(table.complete());
  EXPECT_EQ(table.number_of(30), 0U);
  EXPECT_TRUE(table.learn_uid(2, 20));
  EXPECT_EQ(table.known(), 3U);
  EXPECT_EQ(table.number_of(30), 3U);
  EXPECT_EQ(table.first_from(11), 2U);
  EXPECT_EQ(table.first_from(31), 4U);
  EXPECT_EQ(table.first_behind(9), 1U);
  EXPECT_EQ(table.first_behind(10), 2U);
  EXPECT_EQ(table.first_behind(4'294'967'295), 4U);
}

TEST(MessageTable, ContradictionsAreNotBelieved) {
  auto table = table_of({10, 20});
  EXPECT_FALSE(table.grow_to(1)) << "EXISTS shrinks";
  EXPECT_FALSE(table.expunge(3));
  EXPECT_FALSE(table.expunge(0));
  EXPECT_FALSE(table.learn_uid(1, 11)) << "a UID changes";
  ASSERT_TRUE(table.grow_to(3));
  EXPECT_FALSE(table.learn_uid(3, 20)) << "UIDs ascend";
  EXPECT_FALSE(table.learn_uid(4, 40));
  EXPECT_FALSE(table.learn_uid(3, 0));
  EXPECT_FALSE(table.learn_flags(4, "()"));
  EXPECT_FALSE(table.learn_flags(1, "nonsense"));
  EXPECT_TRUE(table.learn_uid(1, 10)) << "the same again is none";
}

TEST(MessageTable, UidsThatDoNotAscendAreSeenWhenTheGapCloses) {
  auto table = table_of({10});
  ASSERT_TRUE(table.grow_to(3));
  EXPECT_TRUE(table.learn_uid(3, 20));
  EXPECT_FALSE(table.learn_uid(2, 30));
}

TEST(MessageTable, ExpungeMovesWhatIsBehind) {
  auto table = table_of({10, 20, 30});
  ASSERT_TRUE(table.grow_to(4));
  EXPECT_TRUE(table.expunge(2));
  EXPECT_EQ(table.uid(2), 30U);
  EXPECT_EQ(table.known(), 2U);
  EXPECT_TRUE(table.expunge(3)) << "one whose UID nobody knows";
  EXPECT_TRUE(table.complete());
}

TEST(MessageTable, WhatBecomesKnownIsNoChange) {
  auto table = table_of({10, 20});
  EXPECT_TRUE(table.learn_flags(1, "(\\Seen)"));
  EXPECT_EQ(table.changes(), 0U);
  EXPECT_TRUE(table.learn_flags(1, "(\\Recent \\Seen)")) << "nor is \\Recent";
  EXPECT_EQ(table.changes(), 0U);
  EXPECT_EQ(table.flags_text(1), "(\\Seen \\Recent)");
  EXPECT_EQ(table.first_without_flags(), 2U);
  EXPECT_TRUE(table.learn_flags(2, "()"));
  EXPECT_EQ(table.first_without_flags(), 0U);
}

TEST(MessageTable, ChangesAreFoundByMark) {
  auto table = table_of({10, 20, 30});
  for (uint32_t number = 1; number <= 3; ++number) table.learn_flags(number, "()");
  const auto mark = table.changes();
  table.learn_flags(2, "(\\Seen)");
  const auto later = table.changes();
  table.learn_flags(3, "(a)");
  table.learn_flags(2, "(\\Seen b)");
  EXPECT_EQ(changed(table, mark), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(changed(table, later), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(changed(table, table.changes()), std::vector<uint32_t>{});
  EXPECT_TRUE(table.changed_after(3, mark));
  EXPECT_FALSE(table.changed_after(1, mark));
  table.expunge(2);
  EXPECT_EQ(changed(table, mark), std::vector<uint32_t>{2}) << "they die with their message";
}

TEST(MessageTable, ChangesBeyondItsMemoryAreFoundToo) {
  MessageTable table;
  table.grow_to(5'000);
  for (uint32_t i = 1; i <= 5'000; ++i) {
    table.learn_uid(i, 2 * i);
    table.learn_flags(i, "()");
  }
  const auto mark = table.changes();
  for (uint32_t i = 1; i <= 5'000; i += 2) table.learn_flags(i, "(\\Seen)");
  EXPECT_EQ(changed(table, mark).size(), 2'500U);
}

TEST(MessageTable, KeywordsThatNobodyHasAnyMoreAreForgotten) {
  auto table = table_of({1});
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(table.learn_flags(1, "(k" + std::to_string(i) + ")"));
  EXPECT_EQ(table.flags_text(1), "(k9999)");
  EXPECT_EQ(table.changes(), 9'999U);
}

TEST(MessageTable, AnAssumedChangeIsNoNews) {
  auto table = table_of({10, 20});
  table.learn_flags(1, "(\\Seen)");
  table.assume_flags(1, wire::FlagOperation::kAdd, *FlagSet::parse("(\\Deleted)"));
  table.assume_flags(2, wire::FlagOperation::kAdd, *FlagSet::parse("(\\Deleted)"));
  EXPECT_EQ(table.flags_text(1), "(\\Deleted \\Seen)");
  EXPECT_FALSE(table.knows_flags(2)) << "what was there before is not known";
  EXPECT_EQ(table.changes(), 0U);
}

}  // namespace
}  // namespace imapmux::mailbox
