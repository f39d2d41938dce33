// Which server a user goes to, which are passed over, and how many connections one may have.
#include "backend/backend_servers.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "backend/capabilities.h"

namespace imapmux::backend {
namespace {

using base::Instant;
using base::Millis;

struct BackendServersTest : testing::Test {
  bool failover = true;
  std::optional<config::HealthCheck> health_check;
  uint32_t max_connections = 0;
  std::shared_ptr<KnownServers> known = std::make_shared<KnownServers>();

  // From a configuration of its own, as after a reload.
  std::shared_ptr<BackendServers> make(int servers) {
    auto config = std::make_shared<config::Config>();
    config::Backend& backend = config->backends["old"];
    backend.name = "old";
    backend.failover = failover;
    backend.health_check = health_check;
    backend.max_connections = max_connections;
    for (int i = 0; i < servers; ++i)
      backend.servers.push_back({.host = "s" + std::to_string(i), .port = 143, .path = ""});
    return BackendServers::make(config, backend, known);
  }
  static std::vector<std::string> names(const std::vector<std::shared_ptr<BackendServers::Server>>& servers) {
    std::vector<std::string> hosts;
    for (const auto& server : servers) hosts.push_back(server->endpoint.host);
    return hosts;
  }
  static bool is_up(const BackendServers::Server& server, Instant now) {
    return server.health.standing(now) == ServerHealth::Standing::kUp;
  }
  static Instant at(int millis) { return Instant(Millis(1'000'000 + millis)); }
};

TEST_F(BackendServersTest, AUserAlwaysGoesToTheSameServerWhateverTheCaseOfTheName) {
  const auto servers = make(5);
  const auto again = make(5);
  for (int i = 0; i < 50; ++i) {
    const std::string user = "user" + std::to_string(i);
    const auto order = names(servers->candidates(user, at(0)));
    EXPECT_EQ(order.size(), 5U);
    EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), 5U);
    EXPECT_EQ(names(again->candidates("USER" + std::to_string(i), at(7))), order);
  }
}

TEST_F(BackendServersTest, UsersAreSpreadAndFewMoveWhenAServerIsAdded) {
  const auto four = make(4);
  const auto five = make(5);
  std::map<std::string, int> share;
  int moved = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string user = "user" + std::to_string(i);
    const auto before = names(four->candidates(user, at(0))).front();
    const auto after = names(five->candidates(user, at(0))).front();
    ++share[before];
    if (after != before) {
      ++moved;
      EXPECT_EQ(after, "s4") << "nobody moves between the old ones";
    }
  }
  for (const auto& [host, users] : share) EXPECT_GT(users, 50) << host;
  EXPECT_LT(moved, 150);
}

TEST_F(BackendServersTest, AServerThatSomebodyElseNamesHasTheSettingsAndALimitOfItsOwn) {
  max_connections = 1;
  const auto servers = make(2);
  const base::Endpoint far{.host = "far", .port = 1143, .path = ""};
  const auto there = servers->at(far, at(0));
  ASSERT_TRUE(there);
  EXPECT_EQ(there->name(), "old@far:1143");
  EXPECT_EQ(servers->name(), "old");
  EXPECT_EQ(&there->config(), &servers->config());
  EXPECT_EQ(names(there->candidates("bob", at(0))), std::vector<std::string>{"far"});
  EXPECT_EQ(servers->at(far, at(0)), there) << "for all users";
  servers->apply_limits();
  const auto& limit = there->servers().front()->limit;
  EXPECT_TRUE(limit->try_acquire());
  EXPECT_FALSE(limit->try_acquire());
  EXPECT_TRUE(servers->servers().front()->limit->try_acquire());
  // one of the backend's own counts as that
  EXPECT_EQ(servers->at(servers->servers().front()->endpoint, at(0))->servers().front(),
            servers->servers().front());

  const auto reloaded = make(2);
  const auto again = successor({{"old", reloaded}}, *there, at(0));
  ASSERT_TRUE(again);
  EXPECT_NE(again, there);
  EXPECT_EQ(again->servers().front(), there->servers().front()) << "its state is carried over";
  EXPECT_EQ(successor({{"old", reloaded}}, *servers, at(0)), reloaded);
  EXPECT_EQ(successor({}, *there, at(0)), nullptr);
}

TEST_F(BackendServersTest, AReloadChangesTheLimitOfServersThatSomebodyElseNamed) {
  max_connections = 1;
  health_check = config::HealthCheck{.fall = 1};
  const auto before = make(1);
  const base::Endpoint far{.host = "far", .port = 143, .path = ""};
  const auto there = before->at(far, at(0));
  auto& server = *there->servers().front();
  there->failed(server, at(0), "no");
  max_connections = 2;
  health_check.reset();
  const auto reloaded = make(1);
  reloaded->inherit(*before);
  ASSERT_TRUE(server.limit->try_acquire());
  EXPECT_FALSE(server.limit->try_acquire()) << "a reload that fails later must change nothing";
  reloaded->apply_limits();
  EXPECT_TRUE(server.limit->try_acquire());
  EXPECT_FALSE(server.limit->try_acquire());
  EXPECT_TRUE(is_up(server, at(1'000))) << "nobody would find out any more";
}

TEST_F(BackendServersTest, AServerThatSomebodyElseNamedStaysDrained) {
  const base::Endpoint far{.host = "far", .port = 143, .path = ""};
  auto servers = make(1);
  servers->at(far, at(0))->servers().front()->draining = true;
  auto reloaded = make(1);
  reloaded->inherit(*servers);
  servers = std::exchange(reloaded, nullptr);
  const int later = 3'600'000;
  EXPECT_TRUE(servers->at({.host = "another", .port = 143, .path = ""}, at(later)));
  EXPECT_EQ(servers->elsewhere().size(), 2U);
  EXPECT_TRUE(servers->at(far, at(later))->candidates("bob", at(later)).empty());
}

TEST_F(BackendServersTest, ServersThatNobodyUsesAreForgottenAndNotTooManyKept) {
  const auto servers = make(0);
  EXPECT_TRUE(servers->candidates("bob", at(0)).empty()) << "it has none of its own";
  const auto nth = [](int n) {
    return base::Endpoint{.host = "s" + std::to_string(n), .port = 143, .path = ""};
  };
  const auto used = servers->at(nth(0), at(0));
  int made = 1;
  while (made < 100'000 && servers->at(nth(made), at(1))) ++made;
  EXPECT_GT(made, 1'000);
  EXPECT_LT(made, 100'000);
  EXPECT_EQ(servers->elsewhere().size(), static_cast<size_t>(made));
  EXPECT_EQ(servers->at(nth(0), at(1)), used) << "those that are there stay";
  const int later = 3'600'000;
  EXPECT_TRUE(servers->at(nth(made), at(later)));
  EXPECT_EQ(servers->elsewhere().size(), 2U);
  EXPECT_EQ(servers->at(nth(0), at(later)), used);
}

TEST_F(BackendServersTest, AServerThatIsDownComesLastAndReturns) {
  const auto servers = make(3);
  const auto order = names(servers->candidates("bob", at(0)));
  servers->failed(*servers->candidates("bob", at(0)).front(), at(0), "no");
  EXPECT_EQ(names(servers->candidates("bob", at(0))),
            (std::vector<std::string>{order[1], order[2], order[0]}));
  EXPECT_EQ(names(servers->candidates("bob", at(999))).front(), order[1]);
  EXPECT_EQ(names(servers->candidates("bob", at(1'000))), order);
}

TEST_F(BackendServersTest, WhoIsThereStaysWhenAConnectionFailsButNotWhenTheServerIsDown) {
  health_check = config::HealthCheck{.fall = 2};
  const auto servers = make(2);
  const auto order = servers->candidates("bob", at(0));
  {
    const auto stay = UsersThere::enter(order[0]->users, "bob");
    servers->failed(*order[0], at(0), "somebody was turned away");
    EXPECT_EQ(servers->candidates("bob", at(0)), order);
    servers->failed(*order[0], at(10'000), "no");
    EXPECT_EQ(servers->candidates("bob", at(10'000)), (std::vector{order[1], order[0]}));
    servers->succeeded(*order[0], at(10'000));
    servers->succeeded(*order[0], at(10'000));
    servers->failed(*order[0], at(20'000), "no");
  }
  EXPECT_EQ(servers->candidates("bob", at(20'000)), (std::vector{order[1], order[0]}));
}

TEST_F(BackendServersTest, WhenAllAreDownTheyAreTriedAllTheSame) {
  const auto servers = make(2);
  const auto order = servers->candidates("bob", at(0));
  for (const auto& server : order) servers->failed(*server, at(0), "no");
  EXPECT_EQ(servers->candidates("bob", at(0)), order);
}

TEST_F(BackendServersTest, TheDownPeriodDoublesTo30SecondsAndEndsWithASuccess) {
  const auto servers = make(1);
  auto& server = *servers->servers().front();
  for (const int expected : {1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30, 30}) {
    servers->failed(server, at(0), "no");
    EXPECT_FALSE(is_up(server, at(expected * 1'000 - 1))) << expected;
    EXPECT_TRUE(is_up(server, at(expected * 1'000))) << expected;
  }
  servers->succeeded(server, at(0));
  EXPECT_TRUE(is_up(server, at(0)));
  EXPECT_EQ(server.connects.load(), 1U);
  servers->failed(server, at(0), "no");
  EXPECT_TRUE(is_up(server, at(1'000))) << "it begins anew";
}

TEST_F(BackendServersTest, WithoutFailoverAUsersOwnServerIsTheOnlyOne) {
  const auto order = names(make(3)->candidates("bob", at(0)));
  failover = false;
  const auto servers = make(3);
  EXPECT_EQ(names(servers->candidates("bob", at(0))), std::vector<std::string>{order.front()});
  servers->failed(*servers->candidates("bob", at(0)).front(), at(0), "no");
  EXPECT_EQ(names(servers->candidates("bob", at(0))), std::vector<std::string>{order.front()});
}

TEST_F(BackendServersTest, AReloadCarriesTheStateOfServersThatStayOver) {
  max_connections = 1;
  const auto before = make(2);
  before->failed(*before->servers()[1], at(0), "no");
  ASSERT_TRUE(before->servers()[0]->limit->acquire(std::make_shared<ConnectionLimit::Waiter>()));
  max_connections = 3;
  const auto after = make(3);
  EXPECT_EQ(after->servers()[0], before->servers()[0]);
  EXPECT_EQ(after->servers()[0]->limit->in_use(), 1U);
  EXPECT_FALSE(is_up(*after->servers()[1], at(0)));
  EXPECT_TRUE(is_up(*after->servers()[2], at(0)));
  after->servers()[0]->limit->release();
}

TEST_F(BackendServersTest, ABackendThatComesBackFindsItsServerAsLongAsAnybodyHasIt) {
  auto before = make(1);
  const auto limit = before->servers()[0];
  before.reset();
  EXPECT_EQ(make(1)->servers()[0], limit);
}

TEST(ConnectionLimit, WhatAnotherProcessHasCountsAsUsed) {
  ConnectionLimit limit;
  limit.set_most(3);
  limit.set_theirs(2);
  ASSERT_TRUE(limit.try_acquire());
  EXPECT_FALSE(limit.try_acquire());
  EXPECT_FALSE(limit.has_room());
  int granted = 0;
  const auto waiter = std::make_shared<ConnectionLimit::Waiter>();
  waiter->granted = [&] { ++granted; };
  ASSERT_FALSE(limit.acquire(waiter));
  limit.set_theirs(1);
  EXPECT_EQ(granted, 1);
  EXPECT_EQ(limit.in_use(), 2U);
}

TEST(ConnectionLimit, CappedItNeverHasMoreThanItTold) {
  ConnectionLimit limit;  // without a limit of its own, too
  ASSERT_TRUE(limit.try_acquire());
  ASSERT_TRUE(limit.try_acquire());
  EXPECT_EQ(limit.cap(), 2U);
  EXPECT_FALSE(limit.try_acquire());
  limit.release();
  EXPECT_EQ(limit.cap(), 1U);
  EXPECT_FALSE(limit.try_acquire());
  limit.lift_cap();
  EXPECT_TRUE(limit.try_acquire());
}

TEST_F(BackendServersTest, AReloadThatRaisesTheLimitServesThoseWhoWait) {
  max_connections = 1;
  const auto before = make(1);
  before->apply_limits();
  auto& limit = *before->servers()[0]->limit;
  int granted = 0;
  for (int i = 0; i < 4; ++i) {
    auto waiter = std::make_shared<ConnectionLimit::Waiter>();
    waiter->granted = [&] { ++granted; };
    limit.acquire(waiter);
  }
  max_connections = 3;
  const auto raised = make(1);
  EXPECT_EQ(granted, 0) << "a reload that fails later must change nothing";
  raised->apply_limits();
  EXPECT_EQ(granted, 2);
  EXPECT_EQ(limit.in_use(), 3U);
  max_connections = 0;
  make(1)->apply_limits();
  EXPECT_EQ(granted, 3);
  EXPECT_EQ(limit.waiting(), 0U);
}

TEST_F(BackendServersTest, ADrainedServerGetsNoNewUsers) {
  const auto servers = make(2);
  const auto order = servers->candidates("bob", at(0));
  order[0]->draining = true;
  EXPECT_EQ(servers->candidates("bob", at(0)), std::vector{order[1]});
  {
    const auto stay = UsersThere::enter(order[0]->users, "Bob");
    EXPECT_EQ(servers->candidates("bob", at(0)), order) << "who has a connection there stays";
    const auto second = UsersThere::enter(order[0]->users, "Bob");
  }
  EXPECT_EQ(servers->candidates("bob", at(0)), std::vector{order[1]});
  const auto reloaded = make(2);
  EXPECT_EQ(reloaded->candidates("bob", at(0)), std::vector{order[1]});
  order[1]->draining = true;
  EXPECT_TRUE(servers->candidates("bob", at(0)).empty());
  order[0]->draining = false;
  EXPECT_EQ(servers->candidates("bob", at(0)), std::vector{order[0]});
}

TEST_F(BackendServersTest, WithHealthChecksABackendWhoseServersAreAllDownHasNoCandidates) {
  health_check = config::HealthCheck{.interval = Millis(100), .fall = 2, .rise = 1};
  const auto servers = make(2);
  const auto order = servers->candidates("bob", at(0));
  for (const int when : {0, 100}) servers->failed(*order[0], at(when), "no");
  EXPECT_EQ(servers->candidates("bob", at(60'000)), (std::vector{order[1], order[0]}))
      << "longer than a moment";
  for (const int when : {0, 100}) servers->failed(*order[1], at(when), "no");
  EXPECT_TRUE(servers->candidates("bob", at(60'000)).empty());
  EXPECT_EQ(order[0]->times_down.load(), 1U);
  servers->succeeded(*order[0], at(60'000));
  EXPECT_EQ(servers->candidates("bob", at(60'000)), (std::vector{order[0], order[1]}));
}

TEST_F(BackendServersTest, WithoutFailoverAUserWhoseServerIsDownHasNone) {
  health_check = config::HealthCheck{.fall = 1};
  failover = false;
  const auto servers = make(3);
  servers->failed(*servers->candidates("bob", at(0)).front(), at(0), "no");
  EXPECT_TRUE(servers->candidates("bob", at(0)).empty());
}

TEST_F(BackendServersTest, AReloadKeepsAServerDownUnlessItEndsTheHealthChecks) {
  health_check = config::HealthCheck{.fall = 1};
  const auto before = make(1);
  before->failed(*before->servers()[0], at(0), "no");
  const auto after = make(1);
  after->apply_limits();
  EXPECT_TRUE(after->candidates("bob", at(60'000)).empty());
  health_check.reset();
  const auto without = make(1);
  EXPECT_TRUE(after->candidates("bob", at(60'000)).empty())
      << "a reload that fails later must change nothing";
  without->apply_limits();
  EXPECT_EQ(without->candidates("bob", at(60'000)).size(), 1U);
}

struct ConnectionLimitTest : testing::Test {
  using Waiter = ConnectionLimit::Waiter;
  std::shared_ptr<ConnectionLimit> limit = std::make_shared<ConnectionLimit>();
  std::string granted;

  std::shared_ptr<Waiter> waiter(const std::string& name) {
    auto made = std::make_shared<Waiter>();
    made->granted = [this, name] { granted += name + " "; };
    return made;
  }
};

TEST_F(ConnectionLimitTest, WithoutALimitThereIsAlwaysAPlaceAndItIsCounted) {
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limit->acquire(waiter("x")));
  EXPECT_EQ(limit->in_use(), 5U);
  for (int i = 0; i < 5; ++i) limit->release();
  EXPECT_EQ(limit->in_use(), 0U);
  EXPECT_EQ(granted, "");
}

TEST_F(ConnectionLimitTest, WaitersGetPlacesInTheOrderTheyCame) {
  limit->set_most(2);
  EXPECT_TRUE(limit->acquire(waiter("a")));
  EXPECT_TRUE(limit->acquire(waiter("b")));
  EXPECT_FALSE(limit->acquire(waiter("c")));
  EXPECT_FALSE(limit->acquire(waiter("d")));
  EXPECT_EQ(limit->waiting(), 2U);
  limit->release();
  EXPECT_EQ(granted, "c ");
  EXPECT_EQ(limit->in_use(), 2U);
  limit->release();
  EXPECT_EQ(granted, "c d ");
}

TEST_F(ConnectionLimitTest, WhoDoesNotWaitGetsNoPlaceBeforeThoseWhoDo) {
  limit->set_most(2);
  EXPECT_TRUE(limit->try_acquire());
  EXPECT_TRUE(limit->try_acquire());
  EXPECT_FALSE(limit->try_acquire());
  EXPECT_EQ(limit->waiting(), 0U);
  EXPECT_FALSE(limit->acquire(waiter("a")));
  limit->set_most(0);
  EXPECT_EQ(granted, "a ");
  EXPECT_TRUE(limit->try_acquire());
}

TEST_F(ConnectionLimitTest, APermitGivesItsPlaceBackOnce) {
  limit->set_most(1);
  ASSERT_TRUE(limit->acquire(waiter("a")));
  {
    ConnectionLimit::Permit permit(limit);
    ConnectionLimit::Permit moved(std::move(permit));
    ConnectionLimit::Permit assigned;
    assigned = std::move(moved);
    EXPECT_EQ(limit->in_use(), 1U);
  }
  EXPECT_EQ(limit->in_use(), 0U);
}

TEST_F(ConnectionLimitTest, WhoWithdrawsLeavesTheLine) {
  limit->set_most(1);
  ASSERT_TRUE(limit->acquire(waiter("a")));
  const auto b = waiter("b");
  ASSERT_FALSE(limit->acquire(b));
  ASSERT_FALSE(limit->acquire(waiter("c")));
  limit->withdraw(b);
  limit->release();
  EXPECT_EQ(granted, "c ");
  limit->release();
  EXPECT_EQ(limit->in_use(), 0U);
}

TEST_F(ConnectionLimitTest, WhoWithdrawsAfterTheGrantPassesThePlaceOn) {
  limit->set_most(1);
  ASSERT_TRUE(limit->acquire(waiter("a")));
  const auto b = waiter("b");
  ASSERT_FALSE(limit->acquire(b));
  ASSERT_FALSE(limit->acquire(waiter("c")));
  limit->release();
  limit->withdraw(b);
  EXPECT_EQ(granted, "b c ");
  EXPECT_EQ(limit->in_use(), 1U);
  limit->withdraw(b);
  EXPECT_EQ(limit->in_use(), 1U) << "twice is no harm";
}

TEST_F(ConnectionLimitTest, LoweringTheLimitClosesNothingButGivesNoPlaceUntilThereIsRoom) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(limit->acquire(waiter("x")));
  limit->set_most(1);
  EXPECT_FALSE(limit->acquire(waiter("a")));
  limit->release();
  limit->release();
  EXPECT_EQ(granted, "");
  limit->release();
  EXPECT_EQ(granted, "a ");
}

TEST_F(ConnectionLimitTest, RaisingOrLiftingTheLimitServesThoseWhoWait) {
  limit->set_most(1);
  for (const char* name : {"a", "b", "c", "d"}) limit->acquire(waiter(name));
  limit->set_most(2);
  EXPECT_EQ(granted, "b ");
  limit->set_most(0);
  EXPECT_EQ(granted, "b c d ");
  EXPECT_EQ(limit->in_use(), 4U);
}

TEST(ConnectionLimitThreadsTest, ThreadsNeverHoldMoreThanTheLimitAndNoPlaceIsLost) {
  constexpr uint32_t kMost = 2;
  auto limit = std::make_shared<ConnectionLimit>();
  limit->set_most(kMost);
  std::atomic<int> holders{0};
  std::atomic<int> most{0};
  std::atomic<int> taken{0};
  const auto visit = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 3'000; ++i) {
      struct Wait {
        std::mutex mutex;
        std::condition_variable changed;
        bool granted = false;
      };
      auto wait = std::make_shared<Wait>();
      auto waiter = std::make_shared<ConnectionLimit::Waiter>();
      waiter->granted = [wait] {
        const std::lock_guard lock(wait->mutex);
        wait->granted = true;
        wait->changed.notify_all();
      };
      if (!limit->acquire(waiter)) {
        if (random() % 3 == 0) {
          std::this_thread::yield();
          limit->withdraw(waiter);
          continue;
        }
        std::unique_lock lock(wait->mutex);
        wait->changed.wait(lock, [&] { return wait->granted; });
      }
      const ConnectionLimit::Permit permit(limit);
      const int now = ++holders;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      ++taken;
      --holders;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i <= 4; ++i) threads.emplace_back(visit, i);
  for (auto& thread : threads) thread.join();
  EXPECT_LE(most.load(), static_cast<int>(kMost));
  EXPECT_GT(taken.load(), 1'000);
  EXPECT_EQ(limit->in_use(), 0U);
  EXPECT_EQ(limit->waiting(), 0U);
}

TEST(CapabilitiesTest, NamesAreKnownInAnyCaseAndSpacesDoNotMatter) {
  const Capabilities all("  IMAP4rev1 uidplus  Auth=Plain ");
  EXPECT_TRUE(all.has("IMAP4REV1"));
  EXPECT_TRUE(all.has("UIDPLUS"));
  EXPECT_TRUE(all.has("AUTH=PLAIN"));
  EXPECT_FALSE(all.has("PLAIN"));
  EXPECT_EQ(all.names().size(), 3U);
  EXPECT_TRUE(Capabilities("").empty());
}

TEST(CapabilitiesTest, OneOfSeveralAlternativesIsEnough) {
  const Capabilities all("SORT THREAD=REFS");
  EXPECT_TRUE(all.has_one_of(""));
  EXPECT_TRUE(all.has_one_of("SORT"));
  EXPECT_TRUE(all.has_one_of("THREAD=REFERENCES|THREAD=REFS"));
  EXPECT_FALSE(all.has_one_of("THREAD=REFERENCES|THREAD"));
  EXPECT_FALSE(Capabilities().has_one_of("SORT"));
}

}  // namespace
}  // namespace imapmux::backend
