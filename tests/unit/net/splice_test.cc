// Two streams that are spliced, between raw sockets: whatever the kernel does with long runs, each octet
// arrives once, in its order, and what ends a connection ends it as without.
#include <sys/resource.h>

#include "net/pipe.h"
#include "net/tcp_stream.h"
#include "support/loop_driver.h"

namespace imapmux::net {
namespace {

using base::Millis;
using test::Fd;
using test::LoopDriver;
using test::pattern;
using test::Recorder;

// Passes on what comes, as a relay does.
struct End : Recorder {
  explicit End(std::unique_ptr<TcpStream>& other) : to(other) {}
  void on_data(std::string_view chunk) noexcept override {
    Recorder::on_data(chunk);
    if (!to) return;
    to->write_through(chunk);
    if (to->unsent() > Stream::kHighWatermark) own->stop_reading();
  }
  void on_spliced(size_t octets) noexcept override { spliced += octets; }
  void on_eof() noexcept override {
    Recorder::on_eof();
    if (to) to->finish();
  }
  void on_drained() noexcept override {
    Recorder::on_drained();
    if (to && !stopped) to->start_reading();
  }
  std::unique_ptr<TcpStream>& to;
  TcpStream* own = nullptr;
  size_t spliced = 0;
  bool stopped = false;  // what it passes on is not to go on when there is room
};

constexpr size_t kMostWaits = 1024 * 1024 + Stream::kHighWatermark;  // a pipe, and what is copied

// left_peer = left | right = right_peer
struct Relay {
  Relay(EventLoop& loop, SocketKind kind) {
    const auto pair = [&] { return kind == SocketKind::kTcp ? test::tcp_pair() : test::unix_pair(); };
    auto [left_end, left_far] = pair();
    auto [right_end, right_far] = pair();
    left_peer = std::move(left_far);
    right_peer = std::move(right_far);
    left = TcpStream::adopt(loop, left_end.release(), kind, Side::kClient, PeerFacts());
    right = TcpStream::adopt(loop, right_end.release(), kind, Side::kBackend, PeerFacts());
    from_left.own = left.get();
    from_right.own = right.get();
    EventLoop::Turn turn(loop);
    left->splice_to(*right);
    right->splice_to(*left);
    left->set_handler(&from_left);
    right->set_handler(&from_right);
    left->start_reading();
    right->start_reading();
  }
  // Sends what the sockets take now.
  void send_left(const std::string& text) {
    sent_left += left_peer.send(std::string_view(text).substr(sent_left));
  }
  void send_right(const std::string& text) {
    sent_right += right_peer.send(std::string_view(text).substr(sent_right));
  }

  Fd left_peer, right_peer;
  std::unique_ptr<TcpStream> left, right;
  End from_left{right}, from_right{left};
  size_t sent_left = 0, sent_right = 0;
};

struct SpliceTest : testing::TestWithParam<SocketKind> {
  void SetUp() override {
    LoopDriver().turn([] {});  // libuv opens some descriptors once
    before = test::open_descriptors();
    driver = std::make_unique<LoopDriver>();
    relay = std::make_unique<Relay>(driver->loop, GetParam());
  }
  void TearDown() override {
    relay.reset();
    driver.reset();
    EXPECT_EQ(test::open_descriptors(), before) << "descriptors leaked";
  }
  bool until(const std::function<bool()>& done) { return driver->run_until(done); }
  // Until nothing goes any more, since the one on the right does not read.
  void fill_up(const std::string& text) {
    size_t moved = 1;
    size_t last = 0;
    while (moved != last) {
      last = moved;
      relay->send_left(text);
      driver->run_for(Millis(20));
      moved = relay->sent_left + relay->from_left.spliced + relay->from_left.data.size() + 1;
    }
    ASSERT_LT(relay->sent_left, text.size());
    ASSERT_GT(relay->from_left.spliced, 0u);
    ASSERT_GT(relay->right->unsent(), 0u);
  }
  // What the one on the right gets, to its end.
  std::string read_all() {
    std::string all;
    EXPECT_TRUE(until([&] {
      all += relay->right_peer.receive();
      return relay->right_peer.ended || relay->right_peer.error != 0;
    }));
    return all;
  }

  size_t before = 0;
  std::unique_ptr<LoopDriver> driver;
  std::unique_ptr<Relay> relay;
};

INSTANTIATE_TEST_SUITE_P(Kinds, SpliceTest, testing::Values(SocketKind::kTcp, SocketKind::kUnix),
                         [](const auto& info) { return info.param == SocketKind::kTcp ? "Tcp" : "Unix"; });

TEST_P(SpliceTest, OfLongRunsTheHandlerSeesTheEnd) {
  const auto text = pattern(20'000'000);
  std::string got;
  ASSERT_TRUE(until([&] {
    relay->send_left(text);
    got += relay->right_peer.receive();
    return got.size() == text.size();
  }));
  EXPECT_TRUE(got == text);
  const auto& end = relay->from_left;
  EXPECT_EQ(end.spliced + end.data.size(), text.size());
  EXPECT_GT(end.spliced, text.size() / 2);
  EXPECT_TRUE(end.data.ends_with(std::string_view(text).substr(text.size() - Stream::kSeen)));
}

TEST_P(SpliceTest, ShortOnesAreSeenWhole) {
  for (int i = 0; i < 20; ++i) {
    const auto text = pattern(static_cast<size_t>(i) * 701 + 1);
    relay->from_left.data.clear();
    relay->left_peer.send(text);
    std::string got;
    ASSERT_TRUE(until([&] {
      got += relay->right_peer.receive();
      return got.size() == text.size();
    }));
    EXPECT_TRUE(relay->from_left.data == text);
  }
  EXPECT_EQ(relay->from_left.spliced, 0u);
}

TEST_P(SpliceTest, BothWaysAtOnceToSlowReaders) {
  const auto there = pattern(10'000'000);
  const auto back = pattern(9'000'001);
  std::string right;
  std::string left;
  ASSERT_TRUE(until([&] {
    relay->send_left(there);
    relay->send_right(back);
    right += relay->right_peer.receive(70'000);
    left += relay->left_peer.receive(50'000);
    EXPECT_LE(relay->left->unsent(), kMostWaits);
    EXPECT_LE(relay->right->unsent(), kMostWaits);
    return right.size() == there.size() && left.size() == back.size();
  }));
  EXPECT_TRUE(right == there);
  EXPECT_TRUE(left == back);
  EXPECT_GT(relay->from_left.spliced, 0u);
  EXPECT_GT(relay->from_right.spliced, 0u);
}

TEST_P(SpliceTest, ASourceWaitsWhileItsTargetIsFullAndGoesOn) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  const auto moved = relay->from_left.spliced;
  relay->left_peer.send("x");
  driver->run_for(Millis(20));
  EXPECT_EQ(relay->from_left.spliced, moved);
  EXPECT_LE(relay->right->unsent(), kMostWaits);
  const bool much = relay->right->unsent() > Stream::kLowWatermark;
  ASSERT_TRUE(until([&] {
    relay->right_peer.receive();
    return relay->from_left.spliced > moved;
  }));
  EXPECT_EQ(relay->from_right.drained > 0, much);
}

TEST_P(SpliceTest, WhatIsWrittenLaterComesBehindWhatIsInThePipe) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  driver->turn([&] {
    relay->from_right.stopped = true;
    relay->left->stop_reading();
    relay->right->write("now ");
    relay->right->write_through("this");
  });
  relay->right.reset();
  const auto all = read_all();
  const auto spliced = relay->from_left.spliced + relay->from_left.data.size();
  ASSERT_EQ(all.size(), spliced + 8);
  EXPECT_TRUE(all == text.substr(0, spliced) + "now this");
}

TEST_P(SpliceTest, AHalfCloseComesBehindWhatIsInThePipe) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  driver->turn([&] {
    relay->from_right.stopped = true;
    relay->left->stop_reading();
    relay->right->finish();
  });
  const auto passed = relay->from_left.spliced + relay->from_left.data.size();
  EXPECT_TRUE(read_all() == text.substr(0, passed));
  relay->right_peer.send("still here");
  ASSERT_TRUE(until([&] { return relay->left_peer.receive() == "still here"; }));
}

TEST_P(SpliceTest, ASourceThatEndsIsPassedOnToItsEnd) {
  const auto text = pattern(5'000'000);
  std::string all;
  ASSERT_TRUE(until([&] {
    relay->send_left(text);
    if (relay->sent_left == text.size()) relay->left_peer.half_close();
    all += relay->right_peer.receive(90'000);
    return relay->right_peer.ended;
  }));
  EXPECT_TRUE(all == text);
  EXPECT_EQ(relay->from_left.eofs, 1);
  EXPECT_GT(relay->from_left.spliced, 0u);
}

TEST_P(SpliceTest, ATargetThatIsResetIsLostOnceAndItsSourceIsReadOn) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  relay->right_peer.reset_connection();
  ASSERT_TRUE(until([&] { return relay->from_right.losses > 0; }));
  const auto seen = relay->from_left.data.size();
  ASSERT_TRUE(until([&] {
    relay->send_left(text);
    return relay->from_left.data.size() > seen;
  }));
  driver->run_for(Millis(10));
  EXPECT_EQ(relay->from_right.losses, 1);
  EXPECT_EQ(relay->right->unsent(), 0u);
}

TEST_P(SpliceTest, ASourceThatIsResetInTheMiddleIsLostOnce) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  relay->left_peer.reset_connection();
  std::string all;
  ASSERT_TRUE(until([&] {
    all += relay->right_peer.receive();
    return relay->from_left.losses + relay->from_left.eofs > 0;  // a unix socket knows no reset
  }));
  driver->turn([&] { relay->right->finish(); });
  all += read_all();
  EXPECT_TRUE(all == text.substr(0, all.size()));
  EXPECT_EQ(all.size(), relay->from_left.spliced + relay->from_left.data.size());
}

TEST_P(SpliceTest, AnAbortedTargetDropsWhatIsInThePipe) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  const auto passed = relay->from_left.spliced + relay->from_left.data.size();
  relay->right->abort();
  relay->right.reset();
  EXPECT_LT(read_all().size(), passed);
  const auto seen = relay->from_left.data.size();
  EXPECT_TRUE(until([&] {
    relay->send_left(text);
    return relay->from_left.data.size() > seen;
  })) << "the source is read on";
}

TEST_P(SpliceTest, ASourceThatGoesLeavesWhatIsInThePipe) {
  const auto text = pattern(30'000'000);
  fill_up(text);
  relay->left.reset();
  driver->turn([&] { relay->right->finish(); });
  const auto passed = relay->from_left.spliced + relay->from_left.data.size();
  EXPECT_TRUE(read_all() == text.substr(0, passed));
}

TEST_P(SpliceTest, ManyFullOnesAreMoreThanThereArePipes) {
  constexpr size_t kRelays = 24;
  const auto text = pattern(16'000'000);
  std::vector<std::unique_ptr<Relay>> relays;
  for (size_t i = 0; i < kRelays; ++i) relays.push_back(std::make_unique<Relay>(driver->loop, GetParam()));
  for (int i = 0; i < 5; ++i) {
    for (auto& each : relays) each->send_left(text);
    driver->run_for(Millis(20));
  }
  std::vector<std::string> got(kRelays);
  ASSERT_TRUE(until([&] {
    bool all = true;
    for (size_t i = 0; i < kRelays; ++i) {
      relays[i]->send_left(text);
      got[i] += relays[i]->right_peer.receive();
      all = all && got[i].size() == text.size();
    }
    return all;
  }));
  for (const auto& each : got) EXPECT_TRUE(each == text);
}

TEST_P(SpliceTest, WithoutDescriptorsForPipesItGoesOnByCopying) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlimit none{test::open_descriptors(), limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  const auto text = pattern(3'000'000);
  std::string got;
  EXPECT_TRUE(until([&] {
    relay->send_left(text);
    got += relay->right_peer.receive();
    return got.size() == text.size();
  }));
  setrlimit(RLIMIT_NOFILE, &limit);
  EXPECT_TRUE(got == text);
  EXPECT_EQ(relay->from_left.spliced, 0u);
}

}  // namespace
}  // namespace imapmux::net
