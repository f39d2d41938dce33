// The arbiter under random interleavings, against a model that only knows the rules, and under threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "mailbox/arbiter.h"

namespace imapmux::mailbox {
namespace {

using Ticket = MailboxArbiter::Ticket;
using Verdict = MailboxArbiter::Verdict;
using Place = Ticket::Place;
using Name = std::pair<std::string, std::string>;  // scope, mailbox

constexpr HolderId kHolders = 7;
const std::vector<Name> kNames = {{"bob", "a"}, {"bob", "a/b"},  {"bob", "a/b/c"}, {"bob", "ab"},
                                  {"bob", "d"}, {"shared", "x"}, {"shared", "x/y"}};

bool model_conflicts(LeaseKind a, LeaseKind b, ConflictRule rule) {
  if (rule == ConflictRule::kNone) return false;
  if (rule == ConflictRule::kSingleAccess) return true;
  if (a == LeaseKind::kRestructure || b == LeaseKind::kRestructure) return true;
  const auto writes = [](LeaseKind kind) { return kind == LeaseKind::kSelect || kind == LeaseKind::kAppend; };
  return writes(a) && writes(b);
}

bool below(const Name& name, const Name& parent) {
  return name.first == parent.first && name.second.starts_with(parent.second + "/");
}

int strength(LeaseKind kind) {
  const std::array order = {LeaseKind::kStatus, LeaseKind::kExamine, LeaseKind::kAppend, LeaseKind::kSelect,
                            LeaseKind::kRestructure};
  return static_cast<int>(std::find(order.begin(), order.end(), kind) - order.begin());
}

struct Wish {
  Name name;
  LeaseKind kind;
};

// What the rules say, without any cleverness.
class Simulation {
 public:
  Simulation(unsigned seed, ConflictRule rule) : random_(seed), rule_(rule) {}

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
      step();
      check();
    }
    finish();
  }
  int waited() const { return waited_; }
  int deadlocks() const { return deadlocks_; }
  int open() const { return open_; }

 private:
  struct Waiting {
    std::shared_ptr<Ticket> ticket;
    std::vector<Wish> wishes;
    bool as_holder;
    uint64_t number;
  };

  size_t below(size_t limit) { return random_() % limit; }

  bool contend(const Wish& a, const Wish& b) const {
    const bool same = a.name == b.name ||
                      (a.kind == LeaseKind::kRestructure && mailbox::below(b.name, a.name)) ||
                      (b.kind == LeaseKind::kRestructure && mailbox::below(a.name, b.name));
    return same && model_conflicts(a.kind, b.kind, rule_);
  }
  std::set<HolderId> blockers(HolderId holder, const std::vector<Wish>& wishes) const {
    std::set<HolderId> found;
    for (const auto& [other, holds] : held_)
      for (const auto& [name, kind] : holds)
        for (const auto& wish : wishes)
          if (other != holder && contend(wish, {name, kind})) found.insert(other);
    return found;
  }
  bool behind(HolderId holder, const Waiting& wait) const {
    if (wait.as_holder && held_.contains(holder)) return false;
    for (const auto& [other, earlier] : waiting_)
      for (const auto& theirs : earlier.wishes)
        for (const auto& wish : wait.wishes)
          if (other != holder && earlier.number < wait.number && contend(wish, theirs)) return true;
    return false;
  }
  bool in_cycle(HolderId holder, const std::vector<Wish>& wishes) const {
    auto to_visit = blockers(holder, wishes);
    std::set<HolderId> seen;
    while (!to_visit.empty()) {
      const HolderId next = *to_visit.begin();
      to_visit.erase(to_visit.begin());
      if (next == holder) return true;
      if (!seen.insert(next).second) continue;
      if (const auto wait = waiting_.find(next); wait != waiting_.end())
        to_visit.merge(blockers(next, wait->second.wishes));
    }
    return false;
  }
  bool open_elsewhere(HolderId holder, const std::vector<Wish>& wishes) const {
    for (const auto& wish : wishes)
      for (const auto& [other, name] : looks_)
        if (rule_ != ConflictRule::kNone && wish.kind == LeaseKind::kRestructure && other != holder &&
            (name == wish.name || mailbox::below(name, wish.name)))
          return true;
    return false;
  }
  void look(HolderId holder) {
    const Name name = kNames[below(kNames.size())];
    if (looks_.insert({holder, name}).second) {
      arbiter_.looked_at(holder, {name.first, name.second, '/'});
    } else {
      looks_.erase({holder, name});
      arbiter_.looked_at_no_more(holder, {name.first, name.second, '/'});
    }
  }
  void hold(HolderId holder, const std::vector<Wish>& wishes) {
    for (const auto& wish : wishes) {
      const auto [at, is_new] = held_[holder].try_emplace(wish.name, wish.kind);
      if (!is_new && strength(at->second) < strength(wish.kind)) at->second = wish.kind;
    }
  }

  void step() {
    const HolderId holder = 1 + below(kHolders);
    const bool waits = waiting_.contains(holder);
    switch (below(7)) {
      case 0:
      case 1:
      case 2:
        if (!waits) ask(holder);
        break;
      case 3:
        if (waits && below(3) == 0) {
          const auto ticket = waiting_.at(holder).ticket;
          waiting_.erase(holder);
          ASSERT_TRUE(arbiter_.withdraw(ticket));
        }
        break;
      case 4:
        release_one(holder);
        break;
      case 5:
        if (below(3) == 0) release_all(holder);
        break;
      case 6:
        if (below(3) == 0) look(holder);
        break;
    }
  }

  void ask(HolderId holder) {
    // Who waits in line holds nothing, as a session does for SELECT.
    const bool as_holder = below(2) == 0;
    if (!as_holder) release_all(holder);
    std::vector<Wish> wishes;
    for (size_t i = 1 + below(3); i > 0; --i)
      wishes.push_back({kNames[below(kNames.size())], static_cast<LeaseKind>(below(5))});
    auto ticket = std::make_shared<Ticket>();
    ticket->holder = ticket->account = holder;
    for (const auto& wish : wishes)
      ticket->requests.push_back({{wish.name.first, wish.name.second, '/'}, wish.kind});
    ticket->rule = rule_;
    ticket->place = as_holder ? Place::kAsHolder : Place::kInLine;
    ticket->granted = [this, holder] { on_granted(holder); };

    const Waiting wait{ticket, wishes, as_holder, ++numbers_};
    const bool free = blockers(holder, wishes).empty() && !behind(holder, wait);
    auto expected = Verdict::kWaiting;
    if (open_elsewhere(holder, wishes)) {
      expected = Verdict::kOpen;
    } else if (free) {
      expected = Verdict::kGranted;
    } else if (in_cycle(holder, wishes)) {
      expected = Verdict::kDeadlock;
    }
    ASSERT_EQ(static_cast<int>(arbiter_.request(ticket)), static_cast<int>(expected));
    open_ += expected == Verdict::kOpen;
    deadlocks_ += expected == Verdict::kDeadlock;
    waited_ += expected == Verdict::kWaiting;
    if (expected == Verdict::kGranted) hold(holder, wishes);
    if (expected == Verdict::kWaiting) waiting_.emplace(holder, wait);
  }

  void on_granted(HolderId holder) {
    const auto wait = waiting_.find(holder);
    ASSERT_NE(wait, waiting_.end()) << "granted what was withdrawn, or twice";
    const Waiting granted = wait->second;
    waiting_.erase(wait);
    // Nobody who came earlier and still waits was overtaken; those granted in the same call were told before.
    EXPECT_FALSE(behind(holder, granted)) << "overtaken";
    hold(holder, granted.wishes);
  }

  void release_one(HolderId holder) {
    const auto mine = held_.find(holder);
    if (mine == held_.end()) return;
    auto one = mine->second.begin();
    std::advance(one, below(mine->second.size()));
    const Name name = one->first;
    mine->second.erase(one);
    if (mine->second.empty()) held_.erase(mine);
    arbiter_.release(holder, {name.first, name.second, '/'});
  }

  void release_all(HolderId holder) {
    held_.erase(holder);
    arbiter_.release_all(holder);
  }

  void check() {
    // The table is what the model says, and no two of its holders conflict.
    std::map<HolderId, std::map<Name, LeaseKind>> table;
    std::vector<std::pair<HolderId, Wish>> all;
    for (const auto& entry : arbiter_.snapshot()) {
      for (const auto& [holder, kind] : entry.holders) {
        table[holder][{entry.scope, entry.mailbox}] = kind;
        all.push_back({holder, {{entry.scope, entry.mailbox}, kind}});
      }
    }
    ASSERT_EQ(table, held_);
    for (const auto& [holder, wish] : all)
      for (const auto& [other, theirs] : all)
        ASSERT_TRUE(holder == other || !contend(wish, theirs)) << holder << " and " << other;
    ASSERT_EQ(arbiter_.waiting(), waiting_.size());
    // Who waits has a reason.
    for (const auto& [holder, wait] : waiting_)
      ASSERT_TRUE(!blockers(holder, wait.wishes).empty() || behind(holder, wait)) << "forgotten: " << holder;
  }

  // When all who can go on give back, everybody gets what they wait for.
  void finish() {
    for (HolderId round = 0; round <= kHolders && !waiting_.empty(); ++round) {
      for (HolderId holder = 1; holder <= kHolders; ++holder)
        if (!waiting_.contains(holder)) release_all(holder);
      check();
    }
    EXPECT_TRUE(waiting_.empty()) << "starved";
    for (HolderId holder = 1; holder <= kHolders; ++holder) release_all(holder);
    EXPECT_EQ(arbiter_.held(), 0U);
    EXPECT_EQ(arbiter_.waiting(), 0U);
    EXPECT_TRUE(arbiter_.snapshot().empty());
  }

  MailboxArbiter arbiter_;
  std::mt19937 random_;
  ConflictRule rule_;
  std::map<HolderId, std::map<Name, LeaseKind>> held_;
  std::map<HolderId, Waiting> waiting_;
  std::set<std::pair<HolderId, Name>> looks_;  // every holder an account of its own
  uint64_t numbers_ = 0;
  int waited_ = 0;
  int deadlocks_ = 0;
  int open_ = 0;
};

TEST(ArbiterRandomTest, EveryInterleavingAgreesWithTheModelAndNobodyIsForgottenOrStarved) {
  int waited = 0;
  int deadlocks = 0;
  int open = 0;
  for (unsigned seed = 1; seed <= 30; ++seed) {
    for (const auto rule : {ConflictRule::kSingleAccess, ConflictRule::kSingleWriter}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " rule " << static_cast<int>(rule));
      Simulation simulation(seed, rule);
      simulation.run(300);
      if (HasFailure()) return;
      waited += simulation.waited();
      deadlocks += simulation.deadlocks();
      open += simulation.open();
    }
  }
  // The walk has been where it matters.
  EXPECT_GT(waited, 500);
  EXPECT_GT(deadlocks, 15);
  EXPECT_GT(open, 50);
}

TEST(ArbiterRandomTest, WithoutARuleEverythingIsGrantedAtOnce) {
  Simulation simulation(7, ConflictRule::kNone);
  simulation.run(500);
  EXPECT_EQ(simulation.waited() + simulation.deadlocks() + simulation.open(), 0);
}

// One session's wait, with a thread in place of a loop.
struct ThreadWait {
  std::mutex mutex;
  std::condition_variable changed;
  bool granted = false;
};

// The leases are what protects these: ThreadSanitizer sees every two threads in one mailbox.
struct Guarded {
  int visits = 0;
};

class Visitor {
 public:
  Visitor(MailboxArbiter& arbiter, std::array<Guarded, 3>& mailboxes, unsigned seed)
      : arbiter_(arbiter), mailboxes_(mailboxes), random_(seed) {}

  void run(HolderId first, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      const HolderId holder = first + static_cast<HolderId>(i);
      const size_t one = random_() % mailboxes_.size();
      if (!take(holder, {one}, Place::kInLine)) continue;
      ++mailboxes_[one].visits;
      ++total_;
      const size_t other = random_() % mailboxes_.size();
      if (take(holder, {other, one}, Place::kAsHolder)) {
        ++mailboxes_[other].visits;
        ++total_;
      }
      arbiter_.release_all(holder);
    }
  }
  int total() const { return total_; }

 private:
  bool take(HolderId holder, const std::vector<size_t>& which, Place place) {
    auto wait = std::make_shared<ThreadWait>();
    auto ticket = std::make_shared<Ticket>();
    ticket->holder = holder;
    ticket->place = place;
    for (const size_t index : which)
      ticket->requests.push_back({{"bob", std::to_string(index), '/'}, LeaseKind::kSelect});
    ticket->granted = [wait] {
      const std::lock_guard lock(wait->mutex);
      wait->granted = true;
      wait->changed.notify_all();
    };
    const auto verdict = arbiter_.request(ticket);
    if (verdict != Verdict::kWaiting) return verdict == Verdict::kGranted;
    if (random_() % 4 == 0) {
      std::this_thread::yield();
      if (arbiter_.withdraw(ticket)) return false;
      return true;  // granted meanwhile
    }
    std::unique_lock lock(wait->mutex);
    wait->changed.wait(lock, [&] { return wait->granted; });
    return true;
  }

  MailboxArbiter& arbiter_;
  std::array<Guarded, 3>& mailboxes_;
  std::mt19937 random_;
  int total_ = 0;
};

TEST(ArbiterThreadsTest, ThreadsNeverMeetInAMailboxAndAllComeThrough) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 3'000;
  MailboxArbiter arbiter;
  std::array<Guarded, 3> mailboxes;
  std::vector<Visitor> visitors;
  for (unsigned i = 0; i < kThreads; ++i) visitors.emplace_back(arbiter, mailboxes, i + 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&visitors, i] {
      visitors[static_cast<size_t>(i)].run(1 + static_cast<HolderId>(i) * 1'000'000, kRounds);
    });
  for (auto& thread : threads) thread.join();
  int total = 0;
  for (const auto& visitor : visitors) total += visitor.total();
  EXPECT_EQ(mailboxes[0].visits + mailboxes[1].visits + mailboxes[2].visits, total);
  EXPECT_GT(total, kRounds);
  EXPECT_EQ(arbiter.held(), 0U);
  EXPECT_EQ(arbiter.waiting(), 0U);
  EXPECT_TRUE(arbiter.snapshot().empty());
}

}  // namespace
}  // namespace imapmux::mailbox
