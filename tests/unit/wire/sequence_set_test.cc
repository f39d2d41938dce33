#include "wire/sequence_set.h"

#include <gtest/gtest.h>

namespace imapmux::wire {
namespace {

std::string resolved(std::string_view text, uint32_t star) {
  const auto set = SequenceSet::parse(text);
  return set ? set->resolved(star).to_string() : "malformed";
}

TEST(SequenceSet, IsWrittenAsItWasRead) {
  for (const std::string_view text :
       {"1", "*", "1:3", "3:1", "*:4", "2,4:7,9,12:*", "1:4294967295", "5:5", "1,1,1"}) {
    const auto set = SequenceSet::parse(text);
    ASSERT_TRUE(set) << text;
    EXPECT_EQ(set->to_string(), text == "5:5" ? "5" : text);
  }
}

TEST(SequenceSet, RefusesWhatIsNone) {
  for (const std::string_view text :
       {"",           "0",  "1:0", "0:1", ",",  "1,", ",1", "1,,2",  "1:",  ":1",   "1:2:3",
        "4294967296", "01", "a",   "1 ",  "+1", "-1", "**", "1:*:2", "1-2", "\"1\""}) {
    EXPECT_FALSE(SequenceSet::parse(text)) << text;
  }
}

TEST(SequenceSet, TakesTenThousandRangesAndNoMore) {
  std::string text = "1";
  for (int i = 1; i < 10'000; ++i) text += ",1";
  EXPECT_TRUE(SequenceSet::parse(text));
  EXPECT_FALSE(SequenceSet::parse(text + ",1"));
}

TEST(SequenceSet, ExtendsTheLastRange) {
  SequenceSet set;
  EXPECT_TRUE(set.empty());
  for (const uint32_t number : {1U, 2U, 3U, 5U, 4U, 7U, 8U}) set.add(number);
  EXPECT_EQ(set.to_string(), "1:3,5,4,7:8");
  set.add(SequenceSet::kStar);
  set.add(1);
  EXPECT_EQ(set.to_string(), "1:3,5,4,7:8,*,1");
  set.add_range(2, SequenceSet::kStar);
  set.add_range(9, 8);
  set.add(9);
  EXPECT_EQ(set.to_string(), "1:3,5,4,7:8,*,1,2:*,9:8,9");
  SequenceSet top;
  top.add(UINT32_MAX);
  top.add(1);
  EXPECT_EQ(top.to_string(), "4294967295,1");
}

TEST(SequenceSet, Contains) {
  const auto set = SequenceSet::parse("2,7:4,12:*");
  ASSERT_TRUE(set);
  for (const uint32_t in : {2U, 4U, 5U, 7U, 12U, 15U}) EXPECT_TRUE(set->contains(in, 15)) << in;
  for (const uint32_t out : {0U, 1U, 3U, 8U, 11U, 16U}) EXPECT_FALSE(set->contains(out, 15)) << out;
  // 12:* holds the last message also if its number is smaller (RFC 3501, 9).
  EXPECT_TRUE(set->contains(10, 10));
  EXPECT_FALSE(set->contains(9, 10));
}

TEST(SequenceSet, HoldsNothingInAnEmptyMailbox) {
  const auto set = SequenceSet::parse("*,3:*");
  ASSERT_TRUE(set);
  EXPECT_FALSE(set->contains(0, 0));
  EXPECT_FALSE(set->contains(1, 0));
  EXPECT_TRUE(set->resolved(0).empty());
}

TEST(SequenceSet, ResolvesOrdersAndMerges) {
  EXPECT_EQ(resolved("2,4:7,9,12:*", 15), "2,4:7,9,12:15");
  EXPECT_EQ(resolved("*:4,5:7", 10), "4:10");
  EXPECT_EQ(resolved("3,2,1,9,8,7:8", 10), "1:3,7:9");
  EXPECT_EQ(resolved("1:10,2:3,11", 10), "1:11");
  EXPECT_EQ(resolved("4294967295,1:4294967294", 10), "1:4294967295");
  EXPECT_EQ(resolved("5:4294967295,6", 10), "5:4294967295");
  EXPECT_EQ(resolved("*", 3), "3");
}

TEST(SequenceSet, KnowsItsLargestNumber) {
  EXPECT_EQ(SequenceSet::parse("3,9:4,2")->max(5), 9U);
  EXPECT_EQ(SequenceSet::parse("3,*")->max(50), 50U);
  EXPECT_EQ(SequenceSet::parse("*")->max(0), 0U);
  EXPECT_EQ(SequenceSet().max(7), 0U);
}

}  // namespace
}  // namespace imapmux::wire
