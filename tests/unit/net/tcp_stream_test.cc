// TcpStream against raw sockets: reading, gathered writing, back-pressure, and every way to end.
#include "net/tcp_stream.h"

#include "support/loop_driver.h"

namespace imapmux::net {
namespace {

using base::Millis;
using test::Fd;
using test::LoopDriver;
using test::pattern;
using test::Recorder;

struct TcpStreamTest : testing::Test {
  void SetUp() override {
    LoopDriver().turn([] {});  // libuv opens some descriptors once
    before = test::open_descriptors();
    driver = std::make_unique<LoopDriver>();
  }
  void TearDown() override {
    stream.reset();
    peer.reset();
    driver.reset();
    EXPECT_EQ(test::open_descriptors(), before) << "descriptors leaked";
  }
  void open() {
    auto [ours, theirs] = test::tcp_pair();
    peer = std::move(theirs);
    stream = TcpStream::adopt(loop(), ours.release(), SocketKind::kTcp, Side::kClient, test::kLocalPeer);
    stream->set_handler(&seen);
  }
  EventLoop& loop() { return driver->loop; }
  bool until(const std::function<bool()>& done) { return driver->run_until(done); }
  void write(std::string_view octets) {
    driver->turn([&] { stream->write(octets); });
  }
  // Reads until the stream has ended, as a peer that waits for the last word does.
  std::string read_all() {
    std::string all;
    EXPECT_TRUE(until([&] {
      all += peer.receive();
      return peer.ended || peer.error;
    }));
    return all;
  }

  size_t before = 0;
  std::unique_ptr<LoopDriver> driver;
  Fd peer;
  std::unique_ptr<TcpStream> stream;
  Recorder seen;
};

TEST_F(TcpStreamTest, ReadsWhatThePeerSends) {
  open();
  stream->start_reading();
  stream->start_reading();
  peer.send("a1 NOOP\r\n");
  ASSERT_TRUE(until([&] { return seen.data == "a1 NOOP\r\n"; }));
}

TEST_F(TcpStreamTest, ATurnIsOneWrite) {
  // Packets instead of a stream: each write arrives by itself.
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  peer = Fd(ends[1]);
  stream = TcpStream::adopt(loop(), ends[0], SocketKind::kUnix, Side::kClient, PeerFacts{});
  driver->turn([&] {
    stream->write("one ");
    stream->write("two ");
    EventLoop::Turn inner(loop());
    stream->write("three");
    EXPECT_EQ(stream->unsent(), 13u);
  });
  EXPECT_EQ(stream->unsent(), 0u);
  write("four");
  char packet[64];
  EXPECT_EQ(recv(peer.get(), packet, sizeof packet, 0), 13);
  EXPECT_EQ(recv(peer.get(), packet, sizeof packet, 0), 4);
  peer.reset();
}

TEST_F(TcpStreamTest, WriteThroughSendsAtOnceAndStaysBehindWhatWaits) {
  open();
  driver->turn([&] {
    stream->write_through("now ");
    EXPECT_EQ(stream->unsent(), 0u);
    stream->write("later ");
    stream->write_through("last");
    EXPECT_EQ(stream->unsent(), 10u);
  });
  stream.reset();
  EXPECT_EQ(read_all(), "now later last");
}

TEST_F(TcpStreamTest, BigWritesArriveWholeAndEachRiseAboveTheLowMarkEndsInOneOnDrained) {
  open();
  const auto big = pattern(20'000'000);
  write(big);
  EXPECT_GT(stream->unsent(), Stream::kHighWatermark);
  EXPECT_EQ(seen.drained, 0);
  std::string got;
  ASSERT_TRUE(until([&] {
    got += peer.receive();
    return got.size() == big.size();
  }));
  EXPECT_TRUE(got == big);
  ASSERT_TRUE(until([&] { return stream->unsent() == 0; }));
  EXPECT_EQ(seen.drained, 1);
}

TEST_F(TcpStreamTest, OnDrainedComesAlsoWhenTheKernelTakesEverythingAtOnce) {
  open();
  write(pattern(Stream::kLowWatermark + 1));
  EXPECT_EQ(stream->unsent(), 0u);
  EXPECT_EQ(seen.drained, 1);
  write(pattern(Stream::kLowWatermark));
  EXPECT_EQ(seen.drained, 1) << "it never was above";
}

// The kernel takes all but a little: unsent() falls from above the high mark to below the low one inside the
// flush.
TEST_F(TcpStreamTest, OnDrainedComesWhenTheKernelTakesAllButALittle) {
  auto [ours, theirs] = test::unix_pair();
  peer = std::move(theirs);
  const int raw = ours.get();
  stream = TcpStream::adopt(loop(), ours.release(), SocketKind::kUnix, Side::kClient, PeerFacts{});
  stream->set_handler(&seen);
  int size = 0;
  socklen_t length = sizeof size;
  getsockopt(raw, SOL_SOCKET, SO_SNDBUF, &size, &length);
  // How much one write takes is found by trying: what remains must be small, but not nothing.
  Fd probe_end;
  auto [probe, other] = test::unix_pair();
  const size_t takes = probe.send(pattern(10'000'000));
  write(pattern(takes + 1000));
  ASSERT_GT(stream->unsent(), 0u);
  ASSERT_LE(stream->unsent(), Stream::kLowWatermark);
  size_t got = 0;
  ASSERT_TRUE(until([&] {
    got += peer.receive().size();
    return got == takes + 1000;
  }));
  ASSERT_TRUE(until([&] { return stream->unsent() == 0; }));
  EXPECT_EQ(seen.drained, 1);
}

TEST_F(TcpStreamTest, OneOnDrainedEvenIfMoreWasWrittenWhileTheFirstPartWasInFlight) {
  open();
  const auto big = pattern(8'000'000);
  write(big);
  ASSERT_GT(stream->unsent(), 0u);
  write(pattern(100'000));
  size_t got = 0;
  ASSERT_TRUE(until([&] {
    got += peer.receive().size();
    return got == big.size() + 100'000;
  }));
  ASSERT_TRUE(until([&] { return stream->unsent() == 0; }));
  EXPECT_EQ(seen.drained, 1);
}

TEST_F(TcpStreamTest, ASourceDrivenByOnDrainedNeverStalls) {
  open();
  const auto piece = pattern(Stream::kHighWatermark + 12'345);
  int left = 40;
  seen.at_drained = [&] {
    if (left > 0) {
      --left;
      stream->write(piece);
    }
  };
  write(piece);
  size_t got = 0;
  ASSERT_TRUE(until([&] {
    got += peer.receive(100'000).size();
    return got == piece.size() * 41;
  }));
}

TEST_F(TcpStreamTest, AHalfClosedPeerStillGetsAnswers) {
  open();
  stream->start_reading();
  peer.send("a1 LOGOUT\r\n");
  peer.half_close();
  ASSERT_TRUE(until([&] { return seen.eofs == 1; }));
  EXPECT_EQ(seen.data, "a1 LOGOUT\r\n");
  write("* BYE\r\n");
  stream.reset();
  EXPECT_EQ(read_all(), "* BYE\r\n");
  EXPECT_EQ(peer.error, 0);
  EXPECT_EQ(seen.eofs, 1);
}

// printf '…' | nc -N: the peer has half-closed, and the answers are more than the kernel takes.
TEST_F(TcpStreamTest, AHalfClosedPeerGetsAllOfABigLastAnswer) {
  open();
  stream->start_reading();
  peer.half_close();
  ASSERT_TRUE(until([&] { return seen.eofs == 1; }));
  const auto big = pattern(10'000'000);
  write(big);
  ASSERT_GT(stream->unsent(), 0u);
  stream.reset();
  driver->run_for(Millis(20));
  const auto all = read_all();
  EXPECT_TRUE(all == big) << all.size();
  EXPECT_EQ(peer.error, 0);
}

TEST_F(TcpStreamTest, APeerThatHalfClosesWhileItsLastAnswersLingerGetsThemAll) {
  open();
  const auto big = pattern(10'000'000);
  write(big);
  stream.reset();
  driver->run_for(Millis(20));
  peer.half_close();
  driver->run_for(Millis(20));
  const auto all = read_all();
  EXPECT_TRUE(all == big) << all.size();
  EXPECT_EQ(peer.error, 0);
}

TEST_F(TcpStreamTest, TheLastWordsOfADestroyedStreamArriveThoughThePeerKeepsSending) {
  open();
  peer.send(pattern(100'000));  // never read by the stream
  write("* BYE too much\r\n");
  driver->turn([&] { stream->write("really\r\n"); });
  stream.reset();
  std::string all;
  ASSERT_TRUE(until([&] {
    peer.send("more\r\n");
    all += peer.receive();
    return peer.ended || peer.error;
  }));
  EXPECT_EQ(all, "* BYE too much\r\nreally\r\n");
  EXPECT_EQ(peer.error, 0);
}

TEST_F(TcpStreamTest, WhatWasWrittenInTheLastTurnIsSentByTheDestructor) {
  open();
  driver->turn([&] {
    stream->write("BYE");
    stream.reset();
  });
  EXPECT_EQ(read_all(), "BYE");
}

TEST_F(TcpStreamTest, FinishHalfClosesBehindWhatWasWrittenAndThePeerMaySendOn) {
  open();
  stream->start_reading();
  const auto big = pattern(8'000'000);
  driver->turn([&] {
    stream->write(big);
    stream->finish();
    stream->finish();
  });
  const auto all = read_all();
  EXPECT_TRUE(all == big) << all.size();
  peer.send("still here");
  ASSERT_TRUE(until([&] { return seen.data == "still here"; }));
  peer.send("unread");
  stream.reset();  // after a finish(), too, it must not reset the peer
  driver->run_for(Millis(5));
  peer.send("more");
  driver->run_for(Millis(5));
  peer.receive();
  EXPECT_EQ(peer.error, 0);
}

// A slow reader gets the rest as long as it goes on taking: the limit is for those that do not.
TEST_F(TcpStreamTest, ASlowReaderGetsItsLastAnswersBeyondTheLingerLimit) {
  open();
  const auto big = pattern(12'000'000);
  write(big);
  ASSERT_GT(stream->unsent(), 2'000'000u);
  stream.reset();
  std::string all;
  for (int i = 0; i < 6; ++i) {
    driver->run_for(Millis(450));
    all += peer.receive(300'000);
  }
  all += read_all();
  EXPECT_TRUE(all == big) << all.size();
}

TEST_F(TcpStreamTest, ALingeringSocketGoesWhenThePeerDoesNotReact) {
  open();
  write(pattern(20'000'000));
  stream.reset();
  uv_handle_t* left = nullptr;
  const auto sockets = [&] {
    left = nullptr;
    uv_walk(
        loop().uv(),
        [](uv_handle_t* handle, void* to) {
          if (handle->type == UV_TCP) *static_cast<uv_handle_t**>(to) = handle;
        },
        &left);
    return left;
  };
  EXPECT_NE(sockets(), nullptr);
  EXPECT_TRUE(until([&] { return sockets() == nullptr; }));
}

TEST_F(TcpStreamTest, LingeringSocketsAreClosedWithTheirLoop) {
  open();
  write(pattern(20'000'000));
  stream.reset();
  driver.reset();
  driver = std::make_unique<LoopDriver>();
  SUCCEED();
}

TEST_F(TcpStreamTest, AResetIsALossAndTheLastCallback) {
  open();
  stream->start_reading();
  peer.reset_connection();
  ASSERT_TRUE(until([&] { return seen.losses > 0; }));
  EXPECT_EQ(seen.reason, "connection reset by peer");
  EXPECT_TRUE(stream->lost());
  write("nobody hears this");
  EXPECT_EQ(stream->unsent(), 0u);
  stream->start_reading();
  driver->run_for(Millis(10));
  EXPECT_EQ(seen.losses, 1);
  EXPECT_EQ(seen.eofs, 0);
}

TEST_F(TcpStreamTest, AResetWithOctetsWaitingAndInFlightIsOneLoss) {
  open();
  stream->start_reading();
  write(pattern(10'000'000));
  driver->turn([&] { stream->write("more"); });
  peer.reset_connection();
  ASSERT_TRUE(until([&] { return seen.losses > 0; }));
  driver->run_for(Millis(10));
  EXPECT_EQ(seen.losses, 1);
  EXPECT_EQ(seen.drained, 0);
}

TEST_F(TcpStreamTest, AFailedWriteIsALossToldOutsideTheWrite) {
  open();  // not reading: only writing can notice
  peer.reset_connection();
  bool inside = false;
  seen.at_loss = [&] { EXPECT_FALSE(inside); };
  for (int i = 0; i < 3; ++i)
    driver->turn([&] {
      inside = true;
      stream->write_through("x");
      stream->write("y");
      inside = false;
    });
  ASSERT_TRUE(until([&] { return seen.losses > 0; }));
  EXPECT_EQ(seen.losses, 1);
}

TEST_F(TcpStreamTest, ALossWithoutAHandlerIsToldToTheNextOne) {
  open();
  stream->set_handler(nullptr);
  peer.reset_connection();
  write("x");
  write("y");
  driver->run_for(Millis(10));
  ASSERT_TRUE(stream->lost());
  driver->turn([&] {
    stream->set_handler(&seen);
    EXPECT_EQ(seen.losses, 0) << "not from inside the call";
  });
  EXPECT_EQ(seen.losses, 1);
  driver->turn([&] { stream->start_reading(); });
  EXPECT_EQ(seen.losses, 1);
}

TEST_F(TcpStreamTest, AbortDropsWhatIsUnsent) {
  open();
  write(pattern(20'000'000));
  stream->abort();
  driver->turn([&] { stream->write("more"); });
  stream.reset();
  EXPECT_LT(read_all().size(), 20'000'000u);
}

TEST_F(TcpStreamTest, StoppedReadingDeliversNothingAndLosesNothing) {
  open();
  stream->start_reading();
  peer.send("one");
  ASSERT_TRUE(until([&] { return seen.data == "one"; }));
  stream->stop_reading();
  stream->stop_reading();
  peer.send("two");
  driver->run_for(Millis(10));
  EXPECT_EQ(seen.data, "one");
  stream->start_reading();
  ASSERT_TRUE(until([&] { return seen.data == "onetwo"; }));
}

TEST_F(TcpStreamTest, StoppingInsideACallbackHoldsTheRestInTheKernel) {
  open();
  const auto big = pattern(1'000'000);
  size_t sent = peer.send(big);
  seen.then = [&](std::string_view) { stream->stop_reading(); };
  stream->start_reading();
  ASSERT_TRUE(until([&] { return seen.chunks == 1; }));
  driver->run_for(Millis(10));
  EXPECT_EQ(seen.chunks, 1);
  seen.then = nullptr;
  stream->start_reading();
  ASSERT_TRUE(until([&] {
    sent += peer.send(std::string_view(big).substr(sent));
    return seen.data.size() == big.size();
  }));
  EXPECT_TRUE(seen.data == big);
}

// Between two handlers (a greeting's, then a relay's) a peer may well send something.
TEST_F(TcpStreamTest, WhatComesWithoutAHandlerWaitsForTheNextOne) {
  open();
  stream->start_reading();
  stream->set_handler(nullptr);
  peer.send("early");
  driver->run_for(Millis(10));
  Recorder next;
  driver->turn([&] { stream->set_handler(&next); });
  ASSERT_TRUE(until([&] { return next.data == "early"; }));
  EXPECT_EQ(seen.data, "");
  peer.half_close();
  ASSERT_TRUE(until([&] { return next.eofs == 1; }));
  stream.reset();
}

TEST_F(TcpStreamTest, AnEofWithoutAHandlerWaitsForTheNextOne) {
  open();
  stream->set_handler(nullptr);
  stream->start_reading();
  peer.send("last words");
  peer.half_close();
  driver->run_for(Millis(10));
  driver->turn([&] { stream->set_handler(&seen); });
  ASSERT_TRUE(until([&] { return seen.eofs == 1; }));
  EXPECT_EQ(seen.data, "last words");
}

async::Task<> destroy(std::unique_ptr<TcpStream>& stream, async::Event& now) {
  co_await now.wait();
  stream.reset();
}

TEST_F(TcpStreamTest, AHandlerDestroysItsStreamThroughATask) {
  for (const auto& how : {"data", "eof", "lost", "drained"}) {
    SCOPED_TRACE(how);
    open();
    Recorder fresh;
    stream->set_handler(&fresh);
    stream->start_reading();
    async::TaskScope scope(loop());
    async::Event now;
    driver->turn([&] { scope.spawn(destroy(stream, now)); });
    const auto set = [&] {
      now.set();
      EXPECT_NE(stream, nullptr);
      if (stream) stream->write("answer");
    };
    fresh.then = [&](std::string_view) { set(); };
    fresh.at_eof = fresh.at_loss = fresh.at_drained = set;
    if (how == std::string("data")) peer.send("x");
    if (how == std::string("eof")) peer.half_close();
    if (how == std::string("lost")) peer.reset_connection();
    if (how == std::string("drained")) write(pattern(Stream::kLowWatermark * 2));
    ASSERT_TRUE(until([&] { return stream == nullptr; }));
    EXPECT_TRUE(scope.empty());
    driver->run_for(Millis(5));
  }
}

TEST_F(TcpStreamTest, ADestroyedStreamCallsNobody) {
  open();
  stream->start_reading();
  write(pattern(10'000'000));
  peer.send("unread");
  stream.reset();
  driver->run_for(Millis(10));
  peer.reset_connection();
  driver->run_for(Millis(10));
  EXPECT_EQ(seen.chunks + seen.eofs + seen.losses + seen.drained, 0);
}

TEST_F(TcpStreamTest, AdoptRefusesWhatIsNoDescriptor) {
  EXPECT_THROW((void)TcpStream::adopt(loop(), -1, SocketKind::kTcp, Side::kBackend, test::kLocalPeer),
               ConnectionLost);
  EXPECT_THROW((void)TcpStream::adopt(loop(), -1, SocketKind::kUnix, Side::kBackend, PeerFacts{}),
               ConnectionLost);
}

TEST_F(TcpStreamTest, ManyStreamsEndingInEveryWayLeaveNothing) {
  for (int i = 0; i < 60; ++i) {
    open();
    stream->start_reading();
    if (i % 2) write(pattern(3'000'000));
    if (i % 3 == 0) peer.send(pattern(10'000));
    if (i % 5 == 0) peer.half_close();
    if (i % 7 == 0) peer.reset_connection();
    if (i % 4 == 0) driver->run_for(Millis(1));
    if (i % 11 == 0) stream->abort();
    driver->turn([&] {
      stream->write("last");
      stream.reset();
    });
  }
  peer.reset();
}

}  // namespace
}  // namespace imapmux::net
