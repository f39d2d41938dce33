// Two open mailboxes that look like one are reported once.
#include "mailbox/alias_suspects.h"

#include <gtest/gtest.h>

namespace imapmux::mailbox {
namespace {

MailboxKey key(const std::string& name) {
  return {.scope = "b", .mailbox = name, .delimiter = '/'};
}

constexpr MailboxIdentity kSame{.uid_validity = 7, .uid_next = 100, .exists = 3};

TEST(AliasSuspects, TwoNamesWithEqualNumbersAreSuspectsAndToldOnce) {
  AliasSuspects suspects;
  EXPECT_FALSE(suspects.opened(1, "b", key("INBOX.Work"), kSame));
  const auto found = suspects.opened(2, "b", key("Work"), kSame);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->mailbox, "INBOX.Work");
  suspects.closed(2);
  EXPECT_FALSE(suspects.opened(2, "b", key("Work"), kSame)) << "each pair is told once";
}

TEST(AliasSuspects, TheSameNameEmptyMailboxesAndOtherBackendsAreNone) {
  AliasSuspects suspects;
  EXPECT_FALSE(suspects.opened(1, "b", key("Work"), kSame));
  EXPECT_FALSE(suspects.opened(2, "b", key("Work"), kSame));
  EXPECT_FALSE(suspects.opened(3, "other", key("Play"), kSame));
  EXPECT_FALSE(suspects.opened(4, "b", key("Empty"), {.uid_validity = 7, .uid_next = 100, .exists = 0}));
}

TEST(AliasSuspects, TheInboxesOfTwoUsersAreTwo) {
  AliasSuspects suspects;
  const MailboxKey hers{.scope = std::string("b\0ann", 5), .mailbox = "INBOX", .delimiter = '/'};
  EXPECT_FALSE(suspects.opened(1, "b", hers, kSame));
  EXPECT_FALSE(suspects.opened(2, "b", key("INBOX"), kSame));
  EXPECT_TRUE(suspects.opened(3, "b", key("Shared/Team"), kSame));
}

TEST(AliasSuspects, WhatIsClosedIsForgotten) {
  AliasSuspects suspects;
  EXPECT_FALSE(suspects.opened(1, "b", key("INBOX.Work"), kSame));
  suspects.closed(1);
  EXPECT_FALSE(suspects.opened(2, "b", key("Work"), kSame));
  // A holder has one mailbox open: another takes its place.
  EXPECT_FALSE(suspects.opened(2, "b", key("Play"), {.uid_validity = 8, .uid_next = 9, .exists = 1}));
  EXPECT_FALSE(suspects.opened(3, "b", key("INBOX.Work"), kSame));
}

}  // namespace
}  // namespace imapmux::mailbox
