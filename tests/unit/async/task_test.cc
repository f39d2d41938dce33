// The coroutine kernel on a virtual clock.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "async/queue.h"
#include "async/task_scope.h"

namespace imapmux::async {
namespace {

using base::Millis;

class VirtualScheduler : public Scheduler {
 public:
  void advance(Millis by) {
    set_now(now() + by);
    run_timers();
    run_ready();
  }
};

struct Log {
  std::vector<std::string> lines;
  void add(std::string line) { lines.push_back(std::move(line)); }
};

struct AsyncTest : testing::Test {
  VirtualScheduler scheduler;
  Log log;
  using Lines = std::vector<std::string>;
};

struct Aggregate {
  std::string text;
  std::unique_ptr<int> owned;
};

Task<std::string> echo(Aggregate value) {
  co_await sleep_for(Millis(1));
  co_return value.text + std::to_string(*value.owned);
}

Task<> use_aggregate(Log& log) {
  auto text = co_await echo(Aggregate{"value ", std::make_unique<int>(7)});
  log.add(text);
}

TEST_F(AsyncTest, ATaskStartsFromTheReadyListAndNotInsideSpawn) {
  TaskScope scope(scheduler);
  scope.spawn(use_aggregate(log));
  EXPECT_TRUE(log.lines.empty());
  scheduler.run_ready();
  EXPECT_TRUE(log.lines.empty());
  scheduler.advance(Millis(1));
  EXPECT_EQ(log.lines, Lines{"value 7"});
  EXPECT_TRUE(scope.empty());
}

Task<> wait_for_event(Event& event, Log& log, std::string name) {
  co_await event.wait();
  log.add(name);
}

TEST_F(AsyncTest, AnEventWakesItsWaitersInOrderAtTheNextDrain) {
  TaskScope scope(scheduler);
  Event event;
  scope.spawn(wait_for_event(event, log, "first"));
  scope.spawn(wait_for_event(event, log, "second"));
  scheduler.run_ready();
  event.set();
  EXPECT_TRUE(log.lines.empty()) << "nothing is resumed from inside set()";
  scheduler.run_ready();
  EXPECT_EQ(log.lines, (Lines{"first", "second"}));
}

Task<> wait_a_while(Event& event, Log& log) {
  auto result = co_await event.wait_for(Millis(50));
  log.add(result == WaitResult::kTimeout ? "timeout" : "notified");
}

TEST_F(AsyncTest, AWaitWithALimitEndsByTimeoutOrByNotification) {
  TaskScope scope(scheduler);
  Event early;
  Event never;
  scope.spawn(wait_a_while(early, log));
  scope.spawn(wait_a_while(never, log));
  scheduler.run_ready();
  early.set();
  scheduler.advance(Millis(49));
  EXPECT_EQ(log.lines, Lines{"notified"});
  scheduler.advance(Millis(1));
  EXPECT_EQ(log.lines, (Lines{"notified", "timeout"}));
}

Task<> stubborn(Event& event, Log& log) {
  for (int i = 0; i < 3; ++i) {
    try {
      co_await event.wait();
    } catch (const Cancelled&) {
      log.add("cancelled");
    }
  }
}

TEST_F(AsyncTest, CancellingStaysInForceAndEveryLaterWaitThrowsAtOnce) {
  TaskScope scope(scheduler);
  Event never;
  scope.spawn(stubborn(never, log));
  scheduler.run_ready();
  scope.cancel();
  EXPECT_TRUE(log.lines.empty());
  scheduler.run_ready();
  EXPECT_EQ(log.lines, (Lines{"cancelled", "cancelled", "cancelled"}));
  EXPECT_TRUE(scope.empty());
}

TEST_F(AsyncTest, CancellingWinsOverANotificationThatIsOnItsWay) {
  TaskScope scope(scheduler);
  Event event;
  scope.spawn(wait_for_event(event, log, "notified"));
  scheduler.run_ready();
  event.set();
  scope.cancel();
  scheduler.run_ready();
  EXPECT_TRUE(log.lines.empty());
  EXPECT_TRUE(scope.empty());
}

TEST_F(AsyncTest, ATaskSpawnedInACancelledScopeBeginsCancelled) {
  TaskScope scope(scheduler);
  scope.cancel();
  Event event;
  event.set();
  scope.spawn(use_aggregate(log));
  scheduler.run_ready();
  scheduler.advance(Millis(5));
  EXPECT_TRUE(log.lines.empty());
  EXPECT_TRUE(scope.empty());
}

Task<> fail_after(Millis delay) {
  co_await sleep_for(delay);
  throw std::runtime_error("broken");
}

struct Body {
  Log& log;
  Event& never;
  Task<> operator()(TaskScope& scope) {
    scope.spawn(stubborn(never, log));
    co_await fail_after(Millis(2));
  }
};

Task<> scoped(Scheduler& scheduler, Log& log, Event& never) {
  try {
    co_await run_scoped(scheduler, Body{log, never});
  } catch (const std::runtime_error& error) {
    log.add(error.what());
  }
}

TEST_F(AsyncTest, RunScopedCancelsAndJoinsWhatItsBodySpawnedAndRethrows) {
  TaskScope scope(scheduler);
  Event never;
  scope.spawn(scoped(scheduler, log, never));
  scheduler.run_ready();
  scheduler.advance(Millis(2));
  EXPECT_EQ(log.lines, (Lines{"cancelled", "cancelled", "cancelled", "broken"}));
  EXPECT_TRUE(scope.empty());
}

TEST_F(AsyncTest, AnExceptionThatLeavesARootTaskEndsThatTaskOnly) {
  TaskScope scope(scheduler);
  scope.spawn(fail_after(Millis(1)));
  scope.spawn(use_aggregate(log));
  scheduler.run_ready();
  scheduler.advance(Millis(1));
  EXPECT_EQ(log.lines, Lines{"value 7"});
}

Task<> consume(Queue<int>& queue, Log& log) {
  for (;;) {
    auto item = co_await queue.pop();
    if (!item) break;
    log.add(std::to_string(*item));
  }
  log.add("end");
}

TEST_F(AsyncTest, AQueueDeliversWhatWasPushedBeforeItWasClosed) {
  TaskScope scope(scheduler);
  Queue<int> queue;
  scope.spawn(consume(queue, log));
  scheduler.run_ready();
  queue.push(1);
  queue.push(2);
  queue.close();
  scheduler.run_ready();
  EXPECT_EQ(log.lines, (Lines{"1", "2", "end"}));
}

Task<> take_one(Queue<int>& queue, Log& log, std::string name) {
  auto item = co_await queue.pop();
  log.add(name + " " + (item ? std::to_string(*item) : "nothing"));
}

TEST_F(AsyncTest, ANotificationOfACancelledWaiterGoesToTheNextOne) {
  TaskScope doomed(scheduler);
  TaskScope scope(scheduler);
  Queue<int> queue;
  doomed.spawn(take_one(queue, log, "doomed"));
  doomed.spawn(take_one(queue, log, "doomed too"));
  scope.spawn(take_one(queue, log, "next"));
  scheduler.run_ready();
  queue.push(7);
  doomed.cancel();
  doomed.cancel();
  scheduler.run_ready();
  EXPECT_EQ(log.lines, Lines{"next 7"});
  EXPECT_TRUE(scope.empty());
  EXPECT_TRUE(doomed.empty());
}

Task<> join_and_note(TaskScope& scope, Log& log) {
  co_await scope.join();
  log.add("joined");
}

Task<> spawn_more(TaskScope& scope, Log& log, int more) {
  co_await sleep_for(Millis(1));
  if (more > 0) scope.spawn(spawn_more(scope, log, more - 1));
  log.add(std::to_string(more));
}

TEST_F(AsyncTest, JoinWaitsForWhatTasksSpawnAndIsNotCancelled) {
  TaskScope outer(scheduler);
  auto scope = std::make_unique<TaskScope>(scheduler);
  scope->spawn(spawn_more(*scope, log, 2));
  outer.spawn(join_and_note(*scope, log));
  scheduler.run_ready();
  outer.cancel();
  for (int i = 0; i < 5; ++i) scheduler.advance(Millis(1));
  EXPECT_EQ(log.lines, (Lines{"2", "1", "0", "joined"}));
  EXPECT_TRUE(outer.empty());
}

TEST_F(AsyncTest, AnEmptyScopeIsJoinedAtOnceAndByAnyNumberOfTasks) {
  TaskScope outer(scheduler);
  TaskScope scope(scheduler);
  Event never;
  outer.spawn(join_and_note(scope, log));
  scheduler.run_ready();
  EXPECT_EQ(log.lines, Lines{"joined"});
  scope.spawn(wait_for_event(never, log, "no"));
  outer.spawn(join_and_note(scope, log));
  outer.spawn(join_and_note(scope, log));
  scheduler.run_ready();
  scope.cancel();
  scheduler.run_ready();
  EXPECT_EQ(log.lines, (Lines{"joined", "joined", "joined"}));
}

TEST_F(AsyncTest, ATimeoutAndANotificationInTheSameMomentAreANotification) {
  TaskScope scope(scheduler);
  Event event;
  Timer timer(scheduler, [&] { event.set(); });
  scope.spawn(wait_a_while(event, log));
  scheduler.run_ready();
  timer.start(Millis(50));
  scheduler.advance(Millis(50));
  EXPECT_EQ(log.lines, Lines{"notified"});
}

Task<> cancel_own_scope(TaskScope& scope, Log& log) {
  scope.cancel();
  log.add("goes on");
  co_await sleep_for(Millis(0));
  log.add("never");
}

TEST_F(AsyncTest, ATaskMayCancelItsOwnScope) {
  TaskScope scope(scheduler);
  Event never;
  scope.spawn(cancel_own_scope(scope, log));
  scope.spawn(stubborn(never, log));
  scheduler.run_ready();
  EXPECT_EQ(log.lines, (Lines{"goes on", "cancelled", "cancelled", "cancelled"}));
}

TEST_F(AsyncTest, ACancelledSleepOrQueueOrTimedWaitLeavesNoTimer) {
  TaskScope scope(scheduler);
  Event never;
  Queue<int> queue;
  scope.spawn(fail_after(Millis(1000)));
  scope.spawn(wait_a_while(never, log));
  scope.spawn(take_one(queue, log, "queue"));
  scheduler.run_ready();
  scope.cancel();
  EXPECT_EQ(scheduler.next_timer(), base::Instant::max());
  scheduler.run_ready();
  EXPECT_TRUE(scope.empty());
  EXPECT_TRUE(log.lines.empty());
}

Task<int> count_down(int n) {
  if (n == 0) co_return 0;
  auto below = co_await count_down(n - 1);
  co_return below + 1;
}

Task<> deep(Log& log) {
  int total = 0;
  for (int i = 0; i < 100'000; ++i) {
    auto depth = co_await count_down(1);
    total += depth;
  }
  log.add(std::to_string(total));
}

TEST_F(AsyncTest, AwaitingTasksThatNeverSuspendDoesNotGrowTheStack) {
  TaskScope scope(scheduler);
  scope.spawn(deep(log));
  scheduler.run_ready();
  EXPECT_EQ(log.lines, Lines{"100000"});
}

TEST_F(AsyncTest, TimersFireInTheOrderOfTheirTimesAndCanBeMovedAndStopped) {
  std::string order;
  std::vector<std::unique_ptr<Timer>> timers;
  for (const int delay : {50, 10, 40, 20, 30})
    timers.push_back(
        std::make_unique<Timer>(scheduler, [&order, delay] { order += std::to_string(delay) + " "; }));
  const int delays[] = {50, 10, 40, 20, 30};
  for (size_t i = 0; i < timers.size(); ++i) timers[i]->start(Millis(delays[i]));
  timers[2]->stop();
  timers[1]->start(Millis(60));
  EXPECT_EQ(scheduler.next_timer(), scheduler.now() + Millis(20));
  scheduler.advance(Millis(100));
  EXPECT_EQ(order, "20 30 50 10 ");
  EXPECT_EQ(scheduler.next_timer(), base::Instant::max());
}

TEST_F(AsyncTest, ATimerThatRestartsItselfWithNoDelayDoesNotSpin) {
  int fired = 0;
  std::unique_ptr<Timer> timer;
  timer = std::make_unique<Timer>(scheduler, [&] {
    ++fired;
    timer->start(Millis(0));
  });
  timer->start(Millis(0));
  scheduler.advance(Millis(0));
  EXPECT_EQ(fired, 1);
}

TEST_F(AsyncTest, TimersOfTheSameTimeFireInTheOrderOfTheirStartAndNoneStarves) {
  std::string order;
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < 8; ++i)
    timers.push_back(std::make_unique<Timer>(scheduler, [&, i] {
      order += std::to_string(i);
      if (i != 5) timers[i]->start(Millis(0));
    }));
  for (auto& timer : timers) timer->start(Millis(3));
  scheduler.advance(Millis(3));
  EXPECT_EQ(order, "01234567");
  scheduler.advance(Millis(0));
  EXPECT_EQ(order, "012345670123467");
}

TEST_F(AsyncTest, ATimerMayDestroyOthersThatAreDue) {
  std::string order;
  std::vector<std::unique_ptr<Timer>> timers(4);
  for (size_t i = 0; i < 4; ++i)
    timers[i] = std::make_unique<Timer>(scheduler, [&, i] {
      order += std::to_string(i);
      for (size_t other = i + 1; other < 4; ++other) timers[other].reset();
    });
  for (auto& timer : timers) timer->start(Millis(1));
  scheduler.advance(Millis(1));
  EXPECT_EQ(order, "0");
}

}  // namespace
}  // namespace imapmux::async
