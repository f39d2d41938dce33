#include "mailbox/flag_set.h"

#include <gtest/gtest.h>

namespace imapmux::mailbox {
namespace {

using wire::FlagOperation;

FlagSet set(std::string_view list) {
  return *FlagSet::parse(list);
}

TEST(FlagSet, OrderAndCaseOfSystemFlagsMeanNothing) {
  EXPECT_EQ(set("(\\Seen $Junk \\answered)"), set("(\\Answered \\SEEN $junk)"));
  EXPECT_EQ(set("(\\Seen $Junk \\answered)").to_string(), "(\\Answered \\Seen $Junk)");
  EXPECT_EQ(set("()").to_string(), "()");
}

TEST(FlagSet, RecentIsKeptAndIsNoDifference) {
  EXPECT_EQ(set("(\\Seen \\Recent)"), set("(\\Seen)"));
  EXPECT_EQ(set("(\\Recent \\Seen)").to_string(), "(\\Seen \\Recent)");
  EXPECT_EQ(set("(\\Recent \\Seen)").without_recent().to_string(), "(\\Seen)");
}

TEST(FlagSet, WhatIsNoListIsNone) {
  for (const std::string_view text : {"", "\\Seen", "(\\Seen", "((\\Seen))", "(\\Seen \"x\")"})
    EXPECT_FALSE(FlagSet::parse(text)) << text;
}

TEST(FlagSet, StoreReplacesAddsAndRemoves) {
  const auto before = set("(\\Seen foo \\Recent)");
  EXPECT_EQ(before.after(FlagOperation::kAdd, set("(\\Deleted bar foo)")).to_string(),
            "(\\Deleted \\Seen \\Recent bar foo)");
  EXPECT_EQ(before.after(FlagOperation::kRemove, set("(\\Seen FOO \\Recent)")).to_string(), "(\\Recent)");
  EXPECT_EQ(before.after(FlagOperation::kReplace, set("(\\Draft)")).to_string(), "(\\Draft \\Recent)");
}

TEST(FlagSet, AnyNumberOfKeywordsInAnyOrderIsOneSet) {
  std::string forwards = "(";
  std::string backwards = "(";
  for (int n = 0; n < 20'000; ++n) forwards += "key" + std::to_string(n) + " KEY" + std::to_string(n) + " ";
  for (int n = 20'000; n-- > 0;) backwards += "Key" + std::to_string(n) + " ";
  forwards.back() = backwards.back() = ')';
  const auto a = FlagSet::parse(forwards);
  const auto b = FlagSet::parse(backwards);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*a, *b);
  EXPECT_EQ(a->after(wire::FlagOperation::kAdd, *b), *a);
}

}  // namespace
}  // namespace imapmux::mailbox
