// The rules of the arbiter, by plain calls.
#include "mailbox/arbiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace imapmux::mailbox {
namespace {

using Ticket = MailboxArbiter::Ticket;
using Verdict = MailboxArbiter::Verdict;
using Place = Ticket::Place;
using enum LeaseKind;
using enum ConflictRule;

MailboxKey key(std::string mailbox, std::string scope = "bob") {
  return {std::move(scope), std::move(mailbox), '/'};
}

struct ArbiterTest : testing::Test {
  MailboxArbiter arbiter;
  std::string granted;  // the holders that were called back, in order

  std::shared_ptr<Ticket> ticket(HolderId holder, std::vector<LeaseRequest> requests,
                                 Place place = Place::kInLine, ConflictRule rule = kSingleAccess) {
    auto made = std::make_shared<Ticket>();
    made->holder = holder;
    made->requests = std::move(requests);
    made->place = place;
    made->rule = rule;
    made->granted = [this, holder] { granted += std::to_string(holder) + " "; };
    return made;
  }
  Verdict request(HolderId holder, std::vector<LeaseRequest> requests, Place place = Place::kInLine,
                  ConflictRule rule = kSingleAccess) {
    return arbiter.request(ticket(holder, std::move(requests), place, rule));
  }
  Verdict select(HolderId holder, const std::string& mailbox) {
    return request(holder, {{key(mailbox), kSelect}});
  }
  Verdict append(HolderId holder, const std::string& mailbox, Place place = Place::kAsHolder) {
    return request(holder, {{key(mailbox), kAppend}}, place);
  }
  // Whether it is granted without a wait.
  static bool at_once(MailboxArbiter& of, const std::shared_ptr<Ticket>& wish) {
    const auto verdict = of.request(wish);
    if (verdict == Verdict::kWaiting) of.withdraw(wish);
    return verdict == Verdict::kGranted;
  }
  void expect_empty() {
    EXPECT_EQ(arbiter.held(), 0U);
    EXPECT_EQ(arbiter.waiting(), 0U);
    EXPECT_TRUE(arbiter.snapshot().empty());
  }
};

constexpr LeaseKind kKinds[] = {kSelect, kExamine, kStatus, kAppend, kRestructure};

TEST_F(ArbiterTest, WithSingleAccessEveryPairOfDifferentHoldersConflicts) {
  for (const auto held : kKinds) {
    for (const auto wanted : kKinds) {
      MailboxArbiter fresh;
      ASSERT_TRUE(at_once(fresh, ticket(1, {{key("a"), held}})));
      EXPECT_FALSE(at_once(fresh, ticket(2, {{key("a"), wanted}})));
    }
  }
}

TEST_F(ArbiterTest, WithSingleWriterExamineAndStatusGoBesideAnythingButRestructure) {
  const std::set<std::pair<LeaseKind, LeaseKind>> together = {
      {kExamine, kExamine}, {kExamine, kStatus}, {kExamine, kSelect}, {kExamine, kAppend},
      {kStatus, kExamine},  {kStatus, kStatus},  {kStatus, kSelect},  {kStatus, kAppend},
      {kSelect, kExamine},  {kSelect, kStatus},  {kAppend, kExamine}, {kAppend, kStatus}};
  for (const auto held : kKinds) {
    for (const auto wanted : kKinds) {
      MailboxArbiter fresh;
      ASSERT_TRUE(at_once(fresh, ticket(1, {{key("a"), held}}, Place::kInLine, kSingleWriter)));
      EXPECT_EQ(at_once(fresh, ticket(2, {{key("a"), wanted}}, Place::kInLine, kSingleWriter)),
                together.contains({held, wanted}))
          << static_cast<int>(held) << " " << static_cast<int>(wanted);
    }
  }
}

TEST_F(ArbiterTest, WithoutARuleNothingConflicts) {
  for (const auto held : kKinds) {
    for (const auto wanted : kKinds) {
      MailboxArbiter fresh;
      ASSERT_TRUE(at_once(fresh, ticket(1, {{key("a"), held}}, Place::kInLine, kNone)));
      EXPECT_TRUE(at_once(fresh, ticket(2, {{key("a"), wanted}}, Place::kInLine, kNone)));
    }
  }
}

TEST_F(ArbiterTest, AHolderUnderAStricterRuleIsRespectedByThoseThatCameAfterAReload) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  EXPECT_EQ(request(2, {{key("a"), kSelect}}, Place::kInLine, kNone), Verdict::kWaiting);
  EXPECT_FALSE(at_once(arbiter, ticket(3, {{key("a"), kStatus}}, Place::kInLine, kSingleWriter)));
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
}

TEST_F(ArbiterTest, DifferentMailboxesAndDifferentScopesDoNotConflict) {
  EXPECT_EQ(select(1, "a"), Verdict::kGranted);
  EXPECT_EQ(select(2, "b"), Verdict::kGranted);
  EXPECT_EQ(request(3, {{key("a", "alice"), kSelect}}), Verdict::kGranted);
  EXPECT_EQ(arbiter.held(), 3U);
}

TEST_F(ArbiterTest, AHolderDoesNotConflictWithItself) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  EXPECT_EQ(append(1, "a"), Verdict::kGranted);
  EXPECT_EQ(request(1, {{key("a"), kRestructure}}), Verdict::kGranted);
  EXPECT_EQ(arbiter.held(), 1U) << "one lease, of the strongest kind";
}

TEST_F(ArbiterTest, AWaiterIsToldWhenTheHolderGivesBack) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  EXPECT_EQ(select(2, "a"), Verdict::kWaiting);
  EXPECT_EQ(arbiter.waiting(), 1U);
  EXPECT_EQ(granted, "");
  arbiter.release(1, key("a"));
  EXPECT_EQ(granted, "2 ");
  EXPECT_EQ(arbiter.waiting(), 0U);
  arbiter.release(2, key("a"));
  expect_empty();
}

TEST_F(ArbiterTest, TheCallbackMayCallTheArbiterAgain) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  auto second = ticket(2, {{key("a"), kSelect}});
  second->granted = [&] {
    granted += "2 ";
    arbiter.release_all(2);
  };
  ASSERT_EQ(arbiter.request(second), Verdict::kWaiting);
  ASSERT_EQ(select(3, "a"), Verdict::kWaiting);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 3 ");
}

TEST_F(ArbiterTest, ATicketGetsAllItsMailboxesOrNone) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kAppend}, {key("b"), kAppend}}), Verdict::kWaiting);
  EXPECT_EQ(arbiter.held(), 1U) << "b is not taken by who waits for a";
  EXPECT_FALSE(at_once(arbiter, ticket(3, {{key("b"), kSelect}, {key("a"), kStatus}})));
  EXPECT_EQ(arbiter.held(), 1U);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
  EXPECT_EQ(arbiter.held(), 2U);
}

TEST_F(ArbiterTest, WhoHoldsNothingWaitsBehindEveryEarlierTicketThatWantsTheSame) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kAppend}, {key("b"), kAppend}}), Verdict::kWaiting);
  EXPECT_EQ(select(3, "b"), Verdict::kWaiting) << "b is free, but 2 came first";
  EXPECT_EQ(append(4, "b"), Verdict::kWaiting) << "kAsHolder helps holders only";
  EXPECT_FALSE(at_once(arbiter, ticket(5, {{key("b"), kStatus}})));
  EXPECT_EQ(select(6, "c"), Verdict::kGranted) << "nobody wants c";
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
  arbiter.release_all(2);
  EXPECT_EQ(granted, "2 3 ");
  arbiter.release_all(3);
  EXPECT_EQ(granted, "2 3 4 ");
}

TEST_F(ArbiterTest, AGentleKindDoesNotOvertakeAWriterThatWaits) {
  ASSERT_EQ(request(1, {{key("a"), kSelect}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  auto without_rule = ticket(2, {{key("a"), kRestructure}}, Place::kInLine, kNone);
  ASSERT_EQ(arbiter.request(without_rule), Verdict::kWaiting) << "the stricter rule counts";
  arbiter.withdraw(without_rule);
  ASSERT_EQ(request(3, {{key("a"), kAppend}}, Place::kInLine, kSingleWriter), Verdict::kWaiting);
  EXPECT_EQ(request(4, {{key("a"), kStatus}}, Place::kInLine, kSingleWriter), Verdict::kGranted)
      << "it conflicts with neither";
  EXPECT_EQ(request(5, {{key("a"), kSelect}}, Place::kInLine, kSingleWriter), Verdict::kWaiting);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "3 ") << "beside the STATUS";
}

TEST_F(ArbiterTest, AHolderPassesThoseThatWaitButNotInLine) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kAppend}, {key("b"), kAppend}}), Verdict::kWaiting);
  ASSERT_EQ(select(3, "c"), Verdict::kGranted);
  ASSERT_EQ(select(4, "d"), Verdict::kGranted);
  EXPECT_EQ(append(3, "b", Place::kInLine), Verdict::kWaiting);
  EXPECT_EQ(append(4, "b", Place::kAsHolder), Verdict::kGranted);
}

TEST_F(ArbiterTest, AHolderThatWaitsIsServedBeforeEarlierTicketsThatHoldNothing) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  auto behind = ticket(3, {{key("b"), kSelect}, {key("a"), kSelect}});
  ASSERT_EQ(arbiter.request(behind), Verdict::kWaiting);
  ASSERT_EQ(append(1, "b"), Verdict::kWaiting);
  arbiter.release_all(2);
  EXPECT_EQ(granted, "1 ");
  arbiter.release_all(1);
  EXPECT_EQ(granted, "1 3 ");
}

TEST_F(ArbiterTest, AnEarlierTicketThatWantsTheSameIsServedFirstWhenBothCanBe) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  for (const HolderId holder : {2, 3, 4}) ASSERT_EQ(select(holder, "a"), Verdict::kWaiting);
  for (const HolderId holder : {1, 2, 3}) arbiter.release_all(holder);
  EXPECT_EQ(granted, "2 3 4 ");
}

TEST_F(ArbiterTest, WithdrawingAWaitEndsItAndWakesThoseBehind) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  auto second = ticket(2, {{key("a"), kSelect}, {key("b"), kSelect}});
  ASSERT_EQ(arbiter.request(second), Verdict::kWaiting);
  ASSERT_EQ(select(3, "b"), Verdict::kWaiting);
  EXPECT_TRUE(arbiter.withdraw(second));
  EXPECT_EQ(granted, "3 ");
  EXPECT_TRUE(arbiter.withdraw(second)) << "twice is no harm";
  arbiter.release_all(1);
  EXPECT_EQ(granted, "3 ");
  arbiter.release_all(3);
  expect_empty();
}

TEST_F(ArbiterTest, WithdrawingWakesThoseBehindInEveryScopeOfTheTicket) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  auto second = ticket(2, {{key("a"), kAppend}, {key("x", "shared"), kAppend}});
  ASSERT_EQ(arbiter.request(second), Verdict::kWaiting);
  ASSERT_EQ(request(3, {{key("x", "shared"), kSelect}}), Verdict::kWaiting);
  EXPECT_TRUE(arbiter.withdraw(second));
  EXPECT_EQ(granted, "3 ");
}

TEST_F(ArbiterTest, WithdrawingWhatWasGrantedOrNeverRequestedSaysSo) {
  auto first = ticket(1, {{key("a"), kSelect}});
  EXPECT_TRUE(arbiter.withdraw(first)) << "never requested";
  ASSERT_EQ(arbiter.request(first), Verdict::kGranted);
  EXPECT_FALSE(arbiter.withdraw(first));
  auto second = ticket(2, {{key("a"), kSelect}});
  ASSERT_EQ(arbiter.request(second), Verdict::kWaiting);
  arbiter.release_all(1);
  EXPECT_FALSE(arbiter.withdraw(second)) << "granted meanwhile: the caller must release";
  EXPECT_EQ(arbiter.held(), 1U);
  arbiter.looked_at(77, key("a"));
  auto refused = ticket(3, {{key("a"), kRestructure}});
  ASSERT_EQ(arbiter.request(refused), Verdict::kOpen);
  EXPECT_TRUE(arbiter.withdraw(refused));
  EXPECT_EQ(granted, "2 ");
}

TEST_F(ArbiterTest, ATicketMaySpanScopesAndLeavesNothingBehind) {
  ASSERT_EQ(request(1, {{key("x", "shared"), kSelect}}), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kAppend}, {key("x", "shared"), kAppend}}), Verdict::kWaiting);
  EXPECT_EQ(select(3, "a"), Verdict::kWaiting);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
  EXPECT_EQ(arbiter.held(), 2U);
  arbiter.release(2, key("a"));
  EXPECT_EQ(granted, "2 3 ");
  arbiter.release_all(2);
  arbiter.release_all(3);
  expect_empty();
}

TEST_F(ArbiterTest, TwoHoldersCrosswiseAreADeadlock) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  ASSERT_EQ(append(1, "b"), Verdict::kWaiting);
  EXPECT_EQ(append(2, "a"), Verdict::kDeadlock);
  EXPECT_EQ(arbiter.waiting(), 1U);
  arbiter.release_all(2);
  EXPECT_EQ(granted, "1 ");
}

TEST_F(ArbiterTest, ThreeHoldersInARingAreADeadlock) {
  for (const auto& [holder, mailbox] : {std::pair(1, "a"), {2, "b"}, {3, "c"}})
    ASSERT_EQ(select(static_cast<HolderId>(holder), mailbox), Verdict::kGranted);
  ASSERT_EQ(append(1, "b"), Verdict::kWaiting);
  ASSERT_EQ(append(2, "c"), Verdict::kWaiting);
  EXPECT_EQ(append(3, "a"), Verdict::kDeadlock);
  EXPECT_EQ(append(3, "b"), Verdict::kDeadlock);
}

TEST_F(ArbiterTest, ACycleThroughOneOfSeveralMailboxesOrHoldersIsFound) {
  ASSERT_EQ(request(1, {{key("a"), kExamine}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kExamine}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  ASSERT_EQ(request(3, {{key("b"), kAppend}, {key("c"), kAppend}}), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("free"), kAppend}, {key("c"), kAppend}}, Place::kAsHolder, kSingleWriter),
            Verdict::kWaiting);
  EXPECT_EQ(request(3, {{key("free"), kAppend}, {key("a"), kAppend}}, Place::kAsHolder), Verdict::kDeadlock);
}

TEST_F(ArbiterTest, AChainThatEndsIsNoDeadlock) {
  for (const auto& [holder, mailbox] : {std::pair(1, "a"), {2, "b"}, {3, "c"}, {4, "d"}})
    ASSERT_EQ(select(static_cast<HolderId>(holder), mailbox), Verdict::kGranted);
  EXPECT_EQ(append(1, "b"), Verdict::kWaiting);
  EXPECT_EQ(append(2, "c"), Verdict::kWaiting);
  EXPECT_EQ(append(3, "d"), Verdict::kWaiting);
  EXPECT_EQ(append(5, "a"), Verdict::kWaiting) << "holds nothing";
  arbiter.release_all(4);
  EXPECT_EQ(granted, "3 ");
  arbiter.release_all(3);
  EXPECT_EQ(granted, "3 2 ");
}

TEST_F(ArbiterTest, AWaitThatWasWithdrawnClosesNoCycle) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  auto gone = ticket(1, {{key("b"), kAppend}}, Place::kAsHolder);
  ASSERT_EQ(arbiter.request(gone), Verdict::kWaiting);
  ASSERT_TRUE(arbiter.withdraw(gone));
  EXPECT_EQ(append(2, "a"), Verdict::kWaiting);
}

TEST_F(ArbiterTest, TwoThatWaitForTheSameHolderAreNoDeadlock) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  ASSERT_EQ(select(3, "c"), Verdict::kGranted);
  EXPECT_EQ(append(1, "c"), Verdict::kWaiting);
  EXPECT_EQ(append(2, "c"), Verdict::kWaiting);
}

TEST_F(ArbiterTest, RestructureConflictsWithInferiorsThatAreHeld) {
  ASSERT_EQ(request(1, {{key("a/b/c"), kAppend}}), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("ab"), kSelect}}), Verdict::kGranted);
  ASSERT_EQ(request(3, {{key("a!"), kSelect}}), Verdict::kGranted) << "sorts before a/";
  EXPECT_FALSE(at_once(arbiter, ticket(9, {{key("a"), kRestructure}})));
  EXPECT_FALSE(at_once(arbiter, ticket(9, {{key("a/b"), kRestructure}})));
  EXPECT_TRUE(at_once(arbiter, ticket(9, {{key("a/bc"), kRestructure}})));
  EXPECT_TRUE(at_once(arbiter, ticket(9, {{key("a/b/c/d"), kRestructure}}))) << "an inferior, not a superior";
  arbiter.release_all(1);
  EXPECT_TRUE(at_once(arbiter, ticket(9, {{key("a"), kRestructure}}))) << "ab and a! are no inferiors";
}

TEST_F(ArbiterTest, AnInferiorConflictsWithASuperiorThatIsBeingRestructured) {
  ASSERT_EQ(request(1, {{key("a"), kRestructure}}), Verdict::kGranted);
  EXPECT_FALSE(at_once(arbiter, ticket(2, {{key("a/b"), kSelect}})));
  EXPECT_FALSE(at_once(arbiter, ticket(2, {{key("a/b/c/d"), kStatus}})));
  EXPECT_TRUE(at_once(arbiter, ticket(2, {{key("ab"), kSelect}})));
  EXPECT_TRUE(at_once(arbiter, ticket(2, {{key("b/a/c"), kSelect}})));
}

TEST_F(ArbiterTest, InferiorsOfAMailboxThatIsOnlySelectedAreFree) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  EXPECT_EQ(select(2, "a/b"), Verdict::kGranted);
  EXPECT_EQ(request(3, {{key("a/c"), kRestructure}}), Verdict::kGranted);
}

TEST_F(ArbiterTest, WithoutADelimiterThereAreNoInferiors) {
  ASSERT_EQ(select(1, "a/b"), Verdict::kGranted);
  EXPECT_TRUE(at_once(arbiter, ticket(2, {{{"bob", "a", 0}, kRestructure}})));
}

TEST_F(ArbiterTest, WhoWaitsToRestructureIsNotOvertakenInItsInferiors) {
  ASSERT_EQ(append(1, "a/b"), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kRestructure}}), Verdict::kWaiting);
  EXPECT_EQ(select(3, "a/c"), Verdict::kWaiting);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
  arbiter.release_all(2);
  EXPECT_EQ(granted, "2 3 ");
}

TEST_F(ArbiterTest, RestructuringWhatOthersHaveOpenIsRefusedAndDoesNotWait) {
  constexpr AccountId kBob = 77;
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  arbiter.looked_at(kBob, key("a"));
  arbiter.looked_at(kBob, key("b/c"));  // without a lease just now
  EXPECT_EQ(request(3, {{key("a"), kRestructure}}), Verdict::kOpen);
  EXPECT_EQ(request(3, {{key("b"), kRestructure}}), Verdict::kOpen) << "an inferior is open";
  EXPECT_EQ(request(3, {{key("free"), kRestructure}, {key("a"), kRestructure}}), Verdict::kOpen);
  EXPECT_EQ(arbiter.waiting(), 0U);
  EXPECT_EQ(arbiter.held(), 1U);
  EXPECT_EQ(request(3, {{key("b"), kRestructure}}, Place::kInLine, kNone), Verdict::kGranted)
      << "a server that bears it";
  EXPECT_EQ(request(4, {{key("b/cd"), kRestructure}, {key("b/c"), kAppend}}), Verdict::kWaiting);
  auto own = ticket(5, {{key("b/c"), kRestructure}});
  own->account = kBob;
  arbiter.release_all(3);
  arbiter.release_all(4);
  EXPECT_FALSE(arbiter.is_open(*own)) << "its own sessions settle that among themselves";
  EXPECT_EQ(arbiter.request(own), Verdict::kGranted);
}

TEST_F(ArbiterTest, RestructuringWaitsForWhatNobodyLooksAt) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  arbiter.looked_at(77, key("a"));
  arbiter.looked_at_no_more(77, key("a"));
  arbiter.looked_at_no_more(77, key("b"));
  EXPECT_EQ(request(2, {{key("a"), kRestructure}}), Verdict::kWaiting);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
}

TEST_F(ArbiterTest, WhatOneHasOpenIsKeptAsLongAsOneWaitsAndCanCloseACircle) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  auto first = ticket(11, {{key("b"), kStatus}});
  first->own = 1;
  ASSERT_EQ(arbiter.request(first), Verdict::kWaiting);
  EXPECT_EQ(arbiter.waiting(), 1U);
  auto second = ticket(12, {{key("a"), kStatus}});
  second->own = 2;
  EXPECT_EQ(arbiter.request(second), Verdict::kDeadlock);
  arbiter.yields(1, [] {});
  auto third = ticket(13, {{key("a"), kStatus}});
  third->own = 2;
  EXPECT_EQ(arbiter.request(third), Verdict::kWaiting) << "it is given back";
  arbiter.withdraw(third);
  arbiter.release_all(2);
  EXPECT_EQ(granted, "11 ");
  EXPECT_EQ(arbiter.waiting(), 0U);
}

TEST_F(ArbiterTest, RestructuringWaitsForWhatWillSoonBeOver) {
  for (const auto kind : {kStatus, kAppend, kRestructure}) {
    granted.clear();
    ASSERT_EQ(request(1, {{key("a"), kind}}), Verdict::kGranted);
    EXPECT_EQ(request(2, {{key("a"), kRestructure}}), Verdict::kWaiting);
    arbiter.release_all(1);
    EXPECT_EQ(granted, "2 ");
    arbiter.release_all(2);
  }
}

TEST_F(ArbiterTest, ASecondWishOfTheSameHolderRaisesTheKind) {
  ASSERT_EQ(request(1, {{key("a"), kExamine}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  ASSERT_EQ(request(2, {{key("a"), kStatus}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  ASSERT_EQ(request(1, {{key("a"), kSelect}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  EXPECT_FALSE(at_once(arbiter, ticket(3, {{key("a"), kAppend}}, Place::kInLine, kSingleWriter)));
  ASSERT_EQ(request(1, {{key("a"), kExamine}}, Place::kInLine, kSingleWriter), Verdict::kGranted);
  EXPECT_FALSE(at_once(arbiter, ticket(3, {{key("a"), kAppend}}, Place::kInLine, kSingleWriter)))
      << "a weaker wish takes nothing away";
  EXPECT_EQ(request(2, {{key("a"), kSelect}}, Place::kInLine, kSingleWriter), Verdict::kWaiting)
      << "raising waits like anything else";
  arbiter.release(1, key("a"));
  EXPECT_EQ(granted, "2 ");
  EXPECT_EQ(arbiter.held(), 1U);
}

TEST_F(ArbiterTest, OneTicketMayNameAMailboxTwice) {
  ASSERT_EQ(request(1, {{key("a"), kStatus}, {key("a"), kSelect}}), Verdict::kGranted);
  EXPECT_EQ(arbiter.held(), 1U);
  EXPECT_EQ(request(2, {{key("a"), kSelect}, {key("a"), kAppend}}), Verdict::kWaiting);
  EXPECT_EQ(arbiter.waiting(), 1U);
  arbiter.release(1, key("a"));
  arbiter.release(2, key("a"));
  expect_empty();
}

TEST_F(ArbiterTest, UnknownLeasesAreGivenBackWithoutHarm) {
  arbiter.release(1, key("a"));
  arbiter.release_all(1);
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  arbiter.release(1, key("b"));
  arbiter.release(1, key("a", "alice"));
  arbiter.release(2, key("a"));
  arbiter.release_all(2);
  EXPECT_FALSE(at_once(arbiter, ticket(2, {{key("a"), kSelect}})));
  arbiter.release(1, key("a"));
  arbiter.release(1, key("a"));
  expect_empty();
}

TEST_F(ArbiterTest, ReleaseAllKeepsWhatItIsToldToKeep) {
  ASSERT_EQ(request(1, {{key("a"), kSelect}, {key("b"), kAppend}, {key("x", "shared"), kAppend}}),
            Verdict::kGranted);
  ASSERT_EQ(select(2, "a"), Verdict::kWaiting);
  ASSERT_EQ(select(3, "b"), Verdict::kWaiting);
  ASSERT_EQ(request(4, {{key("x", "shared"), kStatus}}), Verdict::kWaiting);
  const auto keep = key("a");
  arbiter.release_all(1, &keep);
  EXPECT_EQ(arbiter.held(), 3U);
  EXPECT_NE(granted.find("3 "), std::string::npos);
  EXPECT_NE(granted.find("4 "), std::string::npos);
  EXPECT_EQ(granted.find("2 "), std::string::npos);
  const auto other = key("elsewhere");
  arbiter.release_all(1, &other);
  EXPECT_NE(granted.find("2 "), std::string::npos) << "what it does not hold it can't keep";
}

TEST_F(ArbiterTest, GivingBackWhileWaitingKeepsTheWait) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  ASSERT_EQ(append(2, "a"), Verdict::kWaiting);
  arbiter.release_all(2);
  EXPECT_EQ(arbiter.waiting(), 1U);
  arbiter.release_all(1);
  EXPECT_EQ(granted, "2 ");
}

TEST_F(ArbiterTest, WhoGivesBackIsToldThatSomebodyWaits) {
  std::string told;
  arbiter.yields(1, [&] { told += "1 "; });
  arbiter.yields(2, [&] { told += "2 "; });
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  EXPECT_EQ(told, "");
  ASSERT_EQ(select(3, "a"), Verdict::kWaiting);
  EXPECT_EQ(told, "1 ");
  EXPECT_TRUE(arbiter.is_wanted(1));
  EXPECT_FALSE(arbiter.is_wanted(2));
  EXPECT_FALSE(arbiter.is_wanted(3));
  arbiter.yields_no_more(1);
  ASSERT_EQ(select(4, "a"), Verdict::kWaiting);
  EXPECT_EQ(told, "1 ");
}

TEST_F(ArbiterTest, WhoIsServedWhileOthersWaitIsToldSoAtOnce) {
  std::string told;
  arbiter.yields(2, [&] { told += granted + "then 2"; });
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "a"), Verdict::kWaiting);
  ASSERT_EQ(select(3, "a"), Verdict::kWaiting);
  EXPECT_EQ(told, "");
  arbiter.release_all(1);
  EXPECT_EQ(told, "2 then 2");
}

TEST_F(ArbiterTest, AGentleWaitMakesNobodyGiveBack) {
  std::string told;
  arbiter.yields(1, [&] { told += "1 "; });
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  auto poll = ticket(2, {{key("a"), kSelect}});
  poll->manner = Ticket::Manner::kGentle;
  ASSERT_EQ(arbiter.request(poll), Verdict::kWaiting);
  EXPECT_EQ(told, "");
  EXPECT_FALSE(arbiter.is_wanted(1));
}

TEST_F(ArbiterTest, AWaitForOneWhoGivesBackClosesNoCycle) {
  arbiter.yields(1, [] {});
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  ASSERT_EQ(append(1, "b"), Verdict::kWaiting);
  EXPECT_EQ(append(2, "a"), Verdict::kWaiting);
  arbiter.release(1, key("a"));
  EXPECT_EQ(granted, "2 ");
}

// COPYs of two users, each between what it has and what the other one has.
TEST_F(ArbiterTest, TwoWhoAskForBothAndGiveBackMeanwhileComeToAnEnd) {
  arbiter.yields(1, [] {});
  arbiter.yields(2, [] {});
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  ASSERT_EQ(request(1, {{key("a"), kSelect}, {key("b"), kAppend}}, Place::kAsHolder), Verdict::kWaiting);
  ASSERT_EQ(request(2, {{key("b"), kSelect}, {key("a"), kAppend}}, Place::kAsHolder), Verdict::kWaiting);
  arbiter.release(1, key("a"));
  EXPECT_EQ(granted, "2 ");
  arbiter.release(2, key("a"));
  EXPECT_EQ(granted, "2 ");
  arbiter.release(2, key("b"));
  EXPECT_EQ(granted, "2 1 ");
  arbiter.release_all(1);
  expect_empty();
}

TEST_F(ArbiterTest, OneHolderMayWaitForSeveralThings) {
  ASSERT_EQ(select(1, "a"), Verdict::kGranted);
  ASSERT_EQ(select(2, "b"), Verdict::kGranted);
  const auto first = ticket(3, {{key("a"), kAppend}});
  const auto second = ticket(3, {{key("b"), kAppend}});
  ASSERT_EQ(arbiter.request(first), Verdict::kWaiting);
  ASSERT_EQ(arbiter.request(second), Verdict::kWaiting);
  EXPECT_TRUE(arbiter.withdraw(first));
  EXPECT_EQ(arbiter.waiting(), 1U);
  arbiter.release_all(2);
  EXPECT_EQ(granted, "3 ");
}

TEST_F(ArbiterTest, TheSnapshotTellsWhoHoldsAndHowManyWait) {
  ASSERT_EQ(request(1, {{key("a"), kSelect}, {key("b"), kAppend}}), Verdict::kGranted);
  ASSERT_EQ(select(2, "a"), Verdict::kWaiting);
  ASSERT_EQ(request(3, {{key("a"), kStatus}, {key("b"), kStatus}}), Verdict::kWaiting);
  const auto all = arbiter.snapshot();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].scope, "bob");
  EXPECT_EQ(all[0].mailbox, "a");
  EXPECT_EQ(all[0].holders, (std::vector<std::pair<HolderId, LeaseKind>>{{1, kSelect}}));
  EXPECT_EQ(all[0].waiting, 2U);
  EXPECT_EQ(all[1].mailbox, "b");
  EXPECT_EQ(all[1].holders, (std::vector<std::pair<HolderId, LeaseKind>>{{1, kAppend}}));
  EXPECT_EQ(all[1].waiting, 1U);
}

}  // namespace
}  // namespace imapmux::mailbox
