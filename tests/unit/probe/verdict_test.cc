#include "probe/verdict.h"

#include <gtest/gtest.h>

namespace imapmux::probe {
namespace {

using config::Conflicts;
using config::MailboxAccess;

const Sight kInStep{Told::kAtNoop, Told::kAtNoop, FetchOfExpunged::kNothing, true, {}};

// A server without a fault.
Findings flawless() {
  Findings f;
  f.limit = LimitKind::kNotMet;
  f.connections = 21;
  f.second_select = f.examine_beside_select = f.select_beside_examine = Beside::kWorks;
  f.second_select_sees = f.examine_sees = kInStep;
  f.status_of_other = f.status_of_own = Status::kFine;
  f.append = Append::kTold;
  f.uid_next = UidNext::kSticky;
  return f;
}

TEST(Verdict, OfAServerWithoutAFault) {
  const auto verdict = judge(flawless());
  EXPECT_EQ(verdict.access, MailboxAccess::kUnrestricted);
  EXPECT_EQ(verdict.conflicts, Conflicts::kNone);
  EXPECT_EQ(verdict.connections_per_user, 0U);
  EXPECT_EQ(verdict.uid_next, config::UidNext::kSticky);
}

TEST(Verdict, OfWhatIsNotKnownIsTheWorst) {
  const auto verdict = judge({});
  EXPECT_EQ(verdict.access, MailboxAccess::kShared);
  EXPECT_EQ(verdict.conflicts, Conflicts::kSingleAccess);
  EXPECT_EQ(verdict.connections_per_user, 1U);
  EXPECT_EQ(verdict.uid_next, config::UidNext::kUnreliable);
}

TEST(Verdict, SessionsThatAreNotToldOfEachOtherAreKeptApart) {
  auto found = flawless();
  found.second_select_sees.expunge = Told::kNever;
  EXPECT_EQ(judge(found).conflicts, Conflicts::kSingleWriter);
  // UW's mbox: EXAMINE goes beside a SELECT, and a UID gives another message.
  found.examine_sees.right_message = false;
  EXPECT_EQ(judge(found).conflicts, Conflicts::kSingleAccess);
}

TEST(Verdict, AppendThatDoesHarmNeedsTheMailboxFree) {
  for (const auto append : {Append::kSevers, Append::kRefused, Append::kUnknown}) {
    auto found = flawless();
    found.append = append;
    EXPECT_EQ(judge(found).conflicts, Conflicts::kSingleWriter);
  }
}

// Only single-access has STATUS wait.
TEST(Verdict, StatusThatDoesHarmNeedsTheMailboxFree) {
  for (const auto status : {Status::kSevers, Status::kStale, Status::kRefused, Status::kUnknown}) {
    auto found = flawless();
    found.status_of_other = status;
    EXPECT_EQ(judge(found).conflicts, Conflicts::kSingleAccess);
  }
  for (const auto status : {Status::kComplains, Status::kStaleFlags}) {
    auto found = flawless();
    found.status_of_other = status;
    EXPECT_EQ(judge(found).conflicts, Conflicts::kNone);
  }
}

TEST(Verdict, ClientsShareWhereTheyWouldMeetAFault) {
  auto found = flawless();
  found.second_select_sees.expunged = FetchOfExpunged::kMadeUp;  // Courier
  EXPECT_EQ(judge(found).access, MailboxAccess::kShared);
  EXPECT_EQ(judge(found).conflicts, Conflicts::kNone);
  found = flawless();
  found.status_of_own = Status::kStale;
  EXPECT_EQ(judge(found).access, MailboxAccess::kShared);
  found.status_of_own = Status::kStaleUntilNoop;  // Dovecot
  EXPECT_EQ(judge(found).access, MailboxAccess::kUnrestricted);
}

TEST(Verdict, LimitsAreKept) {
  auto found = flawless();
  found.limit = LimitKind::kLogin;
  found.connections = 3;
  EXPECT_EQ(judge(found).access, MailboxAccess::kShared);
  EXPECT_EQ(judge(found).connections_per_user, 3U);
  EXPECT_EQ(judge(found).max_connections, 0U);
  found.connections = 10;
  EXPECT_EQ(judge(found).connections_per_user, 5U);
  found.limit = LimitKind::kConnection;
  EXPECT_EQ(judge(found).connections_per_user, 2U);
  EXPECT_EQ(judge(found).max_connections, 10U);
  found.connections = 1;
  EXPECT_EQ(judge(found).connections_per_user, 1U);
  EXPECT_EQ(judge(found).max_connections, 1U);
}

}  // namespace
}  // namespace imapmux::probe
