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

}  // namespace
}  // namespace imapmux::mailbox
