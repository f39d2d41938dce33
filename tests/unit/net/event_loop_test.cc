// The loop as a scheduler: posts, turns, timers, and its end.
#include <atomic>

#include "async/queue.h"
#include "support/loop_driver.h"

namespace imapmux::net {
namespace {

using async::Task;
using base::Millis;
using test::LoopDriver;
using test::LoopThread;

TEST(EventLoop, RunsWhatOtherThreadsPostInTheOrderOfEachThread) {
  constexpr int kThreads = 4;
  constexpr int kPosts = 2000;
  std::vector<int> next(kThreads, 0);
  bool in_order = true;
  {
    LoopThread worker;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < kPosts; ++i) worker.loop.post([&, t, i] { in_order &= next[size_t(t)]++ == i; });
      });
    for (auto& thread : threads) thread.join();
    worker.call([] {});
    EXPECT_TRUE(in_order);
    for (const int count : next) EXPECT_EQ(count, kPosts);
  }
}

TEST(EventLoop, StopBeforeRunEndsRunAtOnceAndRunCanBeRepeated) {
  EventLoop loop;
  int ran = 0;
  loop.post([&] { ++ran; });
  loop.stop();
  loop.run();
  EXPECT_EQ(ran, 1);
  loop.post([&] {
    ++ran;
    loop.stop();
  });
  loop.run();
  EXPECT_EQ(ran, 2);
}

TEST(EventLoop, APostFromAPostRunsLater) {
  EventLoop loop;
  std::string order;
  loop.post([&] {
    loop.post([&] {
      order += "inner ";
      loop.stop();
    });
    order += "outer ";
  });
  loop.run();
  EXPECT_EQ(order, "outer inner ");
}

struct PostsWhenDropped {
  explicit PostsWhenDropped(EventLoop& on, int& to) : loop(&on), refused(&to) {}
  PostsWhenDropped(PostsWhenDropped&& other) noexcept
      : loop(std::exchange(other.loop, nullptr)), refused(other.refused) {}
  ~PostsWhenDropped() {
    if (loop && !loop->post([] {})) ++*refused;
  }
  EventLoop* loop;
  int* refused;
};

TEST(EventLoop, WhatIsStillPostedAtTheEndIsDroppedAndFurtherPostsAreRefused) {
  int ran = 0;
  int refused = 0;
  {
    EventLoop loop;
    loop.post([&ran, guard = PostsWhenDropped(loop, refused)] { ++ran; });
  }
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(refused, 1);
}

Task<> note_when_ready(async::Event& event, std::string& order, std::string name) {
  co_await event.wait();
  order += name;
}

TEST(EventLoop, TheReadyListIsDrainedAtTheEndOfTheOutermostTurn) {
  LoopDriver driver;
  async::TaskScope scope(driver.loop);
  async::Event event;
  std::string order;
  driver.turn([&] { scope.spawn(note_when_ready(event, order, "task ")); });
  {
    EventLoop::Turn outer(driver.loop);
    {
      EventLoop::Turn inner(driver.loop);
      event.set();
    }
    order += "outer ";
  }
  EXPECT_EQ(order, "outer task ");
  EXPECT_TRUE(scope.empty());
}

Task<> sleep_and_note(Millis time, std::string& order, std::string name) {
  co_await async::sleep_for(time);
  order += name;
}

TEST(EventLoop, TimersFireInOrderAndMayDestroyEachOther) {
  LoopDriver driver;
  std::string order;
  std::unique_ptr<async::Timer> second;
  async::Timer first(driver.loop, [&] {
    order += "first ";
    second.reset();
  });
  second = std::make_unique<async::Timer>(driver.loop, [&] { order += "second "; });
  driver.turn([&] {
    second->start(Millis(5));
    first.start(Millis(5));
    first.start(Millis(3));
  });
  driver.run_task(sleep_and_note(Millis(20), order, "slept "));
  EXPECT_EQ(order, "first slept ");
}

// A loop that is made long before it runs: its clock must not be that old.
TEST(EventLoop, ATimerStartedBeforeTheLoopRunsTakesItsTime) {
  EventLoop loop;
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun;
  Clock::time_point ended;
  async::Timer timer(loop, [&] {
    ended = Clock::now();
    loop.stop();
  });
  async::TaskScope scope(loop);
  struct Start {
    static Task<> at_first(async::Timer& timer, Clock::time_point& begun) {
      begun = Clock::now();
      timer.start(Millis(50));
      co_return;
    }
  };
  scope.spawn(Start::at_first(timer, begun));
  loop.run();
  EXPECT_GE(ended - begun, std::chrono::milliseconds(45));
}

TEST(EventLoop, TasksThatWaitAtTheEndAreCancelledByTheirOwnerFirst) {
  std::string order;
  {
    LoopDriver driver;
    async::TaskScope scope(driver.loop);
    driver.turn([&] { scope.spawn(sleep_and_note(Millis(3'600'000), order, "never")); });
    scope.cancel();
    EXPECT_FALSE(scope.empty());
    driver.turn([] {});
    EXPECT_TRUE(scope.empty());
  }
  EXPECT_EQ(order, "");
}

// What is ready when the loop ends still runs: here the last step of a cancelled task.
TEST(EventLoop, TheDestructorDrainsTheReadyList) {
  std::string order;
  auto driver = std::make_unique<LoopDriver>();
  async::TaskScope scope(driver->loop);
  async::Event event;
  driver->turn([&] { scope.spawn(note_when_ready(event, order, "ready")); });
  event.set();
  driver.reset();
  EXPECT_EQ(order, "ready");
  EXPECT_TRUE(scope.empty());
}

TEST(EventLoop, SpareBuffersGoRoundEmptyAndOnlyIfTheyAreOfAUsefulSize) {
  EventLoop loop;
  loop.give_buffer("short");
  EXPECT_EQ(loop.take_buffer().capacity(), std::string().capacity());
  loop.give_buffer(std::string(1 << 20, 'x'));
  EXPECT_EQ(loop.take_buffer().capacity(), std::string().capacity());
  loop.give_buffer(std::string(1000, 'x'));
  const auto again = loop.take_buffer();
  EXPECT_GE(again.capacity(), 1000u);
  EXPECT_TRUE(again.empty());
}

TEST(EventLoop, PostsAndStopsFromManyThreadsWhileLoopsComeAndGo) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ran = 0;
    LoopThread worker;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) worker.loop.post([&] { ++ran; });
      });
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(worker.wait_until([&] { return ran == 150; }));
  }
}

}  // namespace
}  // namespace imapmux::net
