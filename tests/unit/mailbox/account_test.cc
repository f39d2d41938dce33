// An account's places for backend connections.
#include "mailbox/account.h"

#include <gtest/gtest.h>

#include <map>

#include "async/task_scope.h"
#include "support/memory_stream.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using base::Millis;
using testing_support::VirtualScheduler;

struct AccountTest : testing::Test {
  VirtualScheduler scheduler;
  std::shared_ptr<Account> account = std::make_shared<Account>("old", "bob");
  std::map<std::string, Account::Slot> slots;
  std::map<std::string, bool> gone;
  std::string log;
  async::TaskScope scope{scheduler};

  static Task<> take(AccountTest& test, std::string name, uint32_t most, Millis limit) {
    bool& has_gone = test.gone[name];
    auto slot = co_await Account::take_slot(test.account, test.scheduler, most, limit,
                                            [&has_gone] { return has_gone; });
    test.log += name + (slot ? "+ " : "- ");
    if (slot) test.slots[name] = std::move(slot);
  }
  void ask(std::string name, uint32_t most = 1, int limit = 1'000) {
    scope.spawn(take(*this, std::move(name), most, Millis(limit)));
    scheduler.run_ready();
  }
  void give_back(const std::string& name) { slots.erase(name); }
  std::string take_log() {
    scheduler.run_ready();
    return std::exchange(log, {});
  }
  void TearDown() override {
    EXPECT_TRUE(scope.empty()) << "somebody still waits";
    slots.clear();
    EXPECT_EQ(account->used(), 0U);
    scope.cancel();
    scheduler.run_ready();
  }
};

TEST_F(AccountTest, PlacesAreGivenUpToTheLimitAndWhoComesLaterWaits) {
  ask("a", 2);
  ask("b", 2);
  ask("c", 2);
  EXPECT_EQ(take_log(), "a+ b+ ");
  EXPECT_EQ(account->used(), 2U);
  give_back("b");
  EXPECT_EQ(take_log(), "c+ ");
  EXPECT_EQ(account->used(), 2U);
}

TEST_F(AccountTest, WithoutALimitNobodyWaits) {
  for (const char* name : {"a", "b", "c", "d"}) ask(name, 0, 0);
  EXPECT_EQ(take_log(), "a+ b+ c+ d+ ");
  EXPECT_EQ(account->used(), 4U);
}

TEST_F(AccountTest, WaitersAreServedInTheOrderTheyCame) {
  for (const char* name : {"a", "b", "c", "d"}) ask(name);
  EXPECT_EQ(take_log(), "a+ ");
  give_back("a");
  EXPECT_EQ(take_log(), "b+ ");
  give_back("b");
  EXPECT_EQ(take_log(), "c+ ");
  give_back("c");
  EXPECT_EQ(take_log(), "d+ ");
}

TEST_F(AccountTest, TwoPlacesGivenBackInOneTurnServeTwoWaiters) {
  for (const char* name : {"a", "b", "c", "d", "e"}) ask(name, 2);
  give_back("a");
  give_back("b");
  EXPECT_EQ(take_log(), "a+ b+ c+ d+ ");
  give_back("c");
  EXPECT_EQ(take_log(), "e+ ");
}

TEST_F(AccountTest, AWaitEndsWithItsLimit) {
  ask("a");
  ask("b", 1, 100);
  scheduler.advance(Millis(99));
  EXPECT_EQ(take_log(), "a+ ");
  scheduler.advance(Millis(1));
  EXPECT_EQ(take_log(), "b- ");
  give_back("a");
  ask("c");
  EXPECT_EQ(take_log(), "c+ ");
}

TEST_F(AccountTest, WhoseClientHasGoneGivesUpAndTheOthersGoOnWaitingInTheirOrder) {
  for (const char* name : {"a", "b", "c", "d"}) ask(name);
  take_log();
  gone["c"] = true;
  account->stop_waiting();
  EXPECT_EQ(take_log(), "c- ");
  give_back("a");
  EXPECT_EQ(take_log(), "b+ ");
  give_back("b");
  EXPECT_EQ(take_log(), "d+ ");
}

TEST_F(AccountTest, AWakeUpIsNotLostWhenTheWaiterGivesUpInTheSameTurn) {
  for (const char* name : {"a", "b", "c"}) ask(name);
  take_log();
  gone["b"] = true;
  give_back("a");
  account->stop_waiting();
  scheduler.run_ready();
  give_back("b");  // if it got the place nevertheless
  EXPECT_NE(take_log().find("c+ "), std::string::npos);
}

TEST_F(AccountTest, AWaiterThatGivesUpDoesNotDisturbTheOrderOfTheOthers) {
  for (const char* name : {"a", "c", "d"}) {
    ask(name);
    if (*name == 'a') ask("b", 1, 100);
  }
  scheduler.advance(Millis(100));
  EXPECT_EQ(take_log(), "a+ b- ");
  give_back("a");
  EXPECT_EQ(take_log(), "c+ ");
  give_back("c");
  EXPECT_EQ(take_log(), "d+ ");
}

TEST_F(AccountTest, AWaiterWhoTimesOutAsAPlaceBecomesFreeTakesItOrPassesItOn) {
  ask("a");
  ask("b", 1, 100);
  ask("c", 1, 1'000);
  scheduler.advance(Millis(99));
  take_log();
  give_back("a");
  scheduler.advance(Millis(1));
  EXPECT_EQ(take_log(), "b+ ");
  give_back("b");
  EXPECT_EQ(take_log(), "c+ ");
}

TEST_F(AccountTest, AWakeUpForACancelledWaiterGoesToTheNext) {
  async::TaskScope doomed(scheduler);
  ask("a");
  doomed.spawn(take(*this, "b", 1, Millis(1'000)));
  scheduler.run_ready();
  ask("c");
  give_back("a");
  doomed.cancel();
  EXPECT_EQ(take_log(), "a+ c+ ");
  EXPECT_TRUE(doomed.empty());
}

TEST_F(AccountTest, ALateWaiterDoesNotOvertakeThoseInLine) {
  ask("a");
  ask("b");
  give_back("a");
  scope.spawn(take(*this, "c", 1, Millis(1'000)));
  EXPECT_EQ(take_log(), "a+ b+ ");
  give_back("b");
  EXPECT_EQ(take_log(), "c+ ");
}

TEST_F(AccountTest, ASlotMayOutliveTheSessionAndKeepsTheAccount) {
  ask("a");
  EXPECT_EQ(take_log(), "a+ ");
  const std::weak_ptr<Account> weak = account;
  account.reset();
  EXPECT_FALSE(weak.expired());
  slots.clear();
  EXPECT_TRUE(weak.expired());
  account = std::make_shared<Account>("old", "bob");
}

TEST_F(AccountTest, MovingASlotGivesNoPlaceBack) {
  ask("a");
  take_log();
  Account::Slot moved = std::move(slots["a"]);
  slots.clear();
  EXPECT_EQ(account->used(), 1U);
  moved = Account::Slot();
  EXPECT_EQ(account->used(), 0U);
  EXPECT_FALSE(moved);
}

TEST(AccountsTest, AnAccountLivesWhileSomebodyUsesIt) {
  Accounts accounts;
  auto bob = accounts.get("old", "bob");
  EXPECT_EQ(accounts.get("old", "bob"), bob);
  EXPECT_NE(accounts.get("new", "bob"), bob);
  EXPECT_NE(accounts.get("old", "Bob"), bob) << "two accounts, which never share a connection";
  EXPECT_EQ(bob->backend(), "old");
  EXPECT_EQ(bob->login_name(), "bob");
  const std::weak_ptr<Account> weak = bob;
  bob.reset();
  EXPECT_TRUE(weak.expired());
  EXPECT_NE(accounts.get("old", "bob"), nullptr);
}

TEST(AccountsTest, ManyShortLivedAccountsDoNotDisturbTheLivingOnes) {
  Accounts accounts;
  auto bob = accounts.get("old", "bob");
  std::vector<std::shared_ptr<Account>> some;
  for (int i = 0; i < 2'000; ++i) {
    auto account = accounts.get("old", "user" + std::to_string(i));
    if (i % 10 == 0) some.push_back(account);
  }
  EXPECT_EQ(accounts.get("old", "bob"), bob);
  for (size_t i = 0; i < some.size(); ++i)
    EXPECT_EQ(accounts.get("old", "user" + std::to_string(10 * i)), some[i]);
}

TEST(AccountsTest, AnAccountHasOneOwnerWhateverTheCaseOfItsName) {
  std::vector<int> owned(4);
  for (int i = 0; i < 400; ++i) {
    const std::string name = "user" + std::to_string(i);
    const size_t owner = Accounts::owner("old", name, 4);
    ASSERT_LT(owner, 4U);
    EXPECT_EQ(Accounts::owner("old", "USER" + std::to_string(i), 4), owner);
    ++owned[owner];
  }
  for (const int share : owned) EXPECT_GT(share, 40) << "the workers share the accounts";
  EXPECT_EQ(Accounts::owner("old", "bob", 1), 0U);
}

struct CheckTest : AccountTest {
  using Rank = Account::Rank;
  std::map<std::string, Account::Check> checks;

  static Task<> begin(CheckTest& test, std::string name, Rank rank) {
    bool& has_gone = test.gone[name];
    auto check = co_await Account::begin_check(test.account, test.scheduler, rank, Millis(1'000),
                                               [&has_gone] { return has_gone; });
    test.log += name + (check ? "+ " : "- ");
    if (check) test.checks[name] = std::move(check);
  }
  void ask(std::string name, Rank rank) {
    scope.spawn(begin(*this, std::move(name), rank));
    scheduler.run_ready();
  }
};

TEST_F(CheckTest, OneAtATimeAndWhoIsKnownFirst) {
  ask("a", Rank::kStranger);
  ask("b", Rank::kStranger);
  ask("c", Rank::kStranger);
  ask("owner", Rank::kKnown);
  EXPECT_EQ(take_log(), "a+ ");
  checks.erase("a");
  EXPECT_EQ(take_log(), "owner+ ");
  checks.erase("owner");
  EXPECT_EQ(take_log(), "b+ ");
  checks.erase("b");
  EXPECT_EQ(take_log(), "c+ ");
}

TEST_F(CheckTest, WhoGivesUpLetsTheNextOneGo) {
  for (const char* name : {"a", "b", "c"}) ask(name, Rank::kStranger);
  EXPECT_EQ(take_log(), "a+ ");
  gone["b"] = true;
  checks.erase("a");
  EXPECT_EQ(take_log(), "b- c+ ");
  ask("d", Rank::kStranger);
  scheduler.advance(Millis(1'000));
  EXPECT_EQ(take_log(), "d- ");
}

TEST_F(AccountTest, WhoWatchesHearsOfAFreePlace) {
  struct Watcher final : Account::Watcher {
    void on_place_free() noexcept override { ++heard; }
    void on_place_wanted() noexcept override {}
    int heard = 0;
  } watcher;
  account->watch(watcher);
  ask("a");
  EXPECT_EQ(watcher.heard, 0);
  give_back("a");
  EXPECT_EQ(watcher.heard, 1);
  take_log();
}

}  // namespace
}  // namespace imapmux::mailbox
