// connect(): names, refusals, limits, cancelling, unix sockets, source addresses.
#include "net/connect.h"

#include <sys/un.h>

#include <filesystem>

#include "net/listener.h"
#include "support/loop_driver.h"
#include "support/test_certificates.h"

namespace imapmux::net {
namespace {

using async::Task;
using base::Millis;
using test::Fd;
using test::LoopDriver;
using test::Recorder;

struct Outcome {
  std::unique_ptr<TcpStream> stream;
  std::string problem;
  bool cancelled = false;
  bool ended = false;
};

Task<> try_connect(EventLoop& loop, base::Endpoint endpoint, ConnectOptions options, Outcome& outcome) {
  try {
    outcome.stream = co_await connect(loop, endpoint, options);
  } catch (const ConnectionLost& error) {
    outcome.problem = error.what();
  } catch (const async::Cancelled&) {
    outcome.cancelled = true;
  }
  outcome.ended = true;
}

struct Listening {
  explicit Listening(const char* address = "127.0.0.1", int backlog = 16) {
    fd = Fd(open_listening_socket({address, 0, {}}, 0, BindCheck::kNone));
    port = bound_port(fd.get());
    if (backlog >= 0) {
      EXPECT_EQ(listen(fd.get(), backlog), 0);
    }
  }
  Fd accept() { return Fd(::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
  Fd fd;
  uint16_t port;
};

struct ConnectTest : testing::Test {
  void SetUp() override {
    LoopDriver().turn([] {});  // libuv opens some descriptors once
    before = test::open_descriptors();
    driver = std::make_unique<LoopDriver>();
  }
  void connect_to(base::Endpoint endpoint, ConnectOptions options = {}) {
    async::TaskScope scope(driver->loop);
    driver->turn([&] { scope.spawn(try_connect(driver->loop, endpoint, options, outcome)); });
    EXPECT_TRUE(driver->run_until([&] { return scope.empty(); }));
  }
  std::unique_ptr<LoopDriver> driver;
  size_t before = 0;
  Outcome outcome;
};

TEST_F(ConnectTest, ConnectsToANumericAddress) {
  Listening backend;
  connect_to({"127.0.0.1", backend.port, {}});
  ASSERT_TRUE(outcome.stream) << outcome.problem;
  EXPECT_EQ(outcome.stream->side(), Side::kBackend);
  EXPECT_EQ(outcome.stream->peer().port, backend.port);
  auto accepted = backend.accept();
  driver->turn([&] { outcome.stream->write("hello"); });
  ASSERT_TRUE(driver->run_until([&] { return accepted.receive() == "hello"; }));
  outcome.stream->abort();
  outcome.stream.reset();
}

TEST_F(ConnectTest, ResolvesNamesAndTriesAllAddresses) {
  Listening backend;  // IPv4 only; the name may have an IPv6 address too
  connect_to({"localhost", backend.port, {}});
  ASSERT_TRUE(outcome.stream) << outcome.problem;
  outcome.stream->abort();
  outcome.stream.reset();
}

TEST_F(ConnectTest, ARefusalAndAnUnknownNameAreToldClearly) {
  Listening nobody("127.0.0.1", -1);  // bound, so that nobody else gets the port, but not listening
  connect_to({"127.0.0.1", nobody.port, {}});
  EXPECT_EQ(outcome.problem, "connection refused");
  outcome = {};
  connect_to({"no-such-host.invalid", 143, {}});
  EXPECT_NE(outcome.problem.find("no-such-host.invalid"), std::string::npos) << outcome.problem;
  outcome = {};
  connect_to({"", 143, {}});
  EXPECT_NE(outcome.problem, "");
  outcome = {};
  connect_to({std::string(5000, 'a'), 143, {}});
  EXPECT_NE(outcome.problem, "");
}

// A listener whose backlog is full drops what comes: the SYN is never answered.
struct FullListener : Listening {
  FullListener() : Listening("127.0.0.1", 0) {
    for (int i = 0; i < 8; ++i) {
      Fd filler(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(port);
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      (void)::connect(filler.get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
      fillers.push_back(std::move(filler));
    }
  }
  std::vector<Fd> fillers;
};

TEST_F(ConnectTest, AConnectThatTakesTooLongEnds) {
  FullListener full;
  connect_to({"127.0.0.1", full.port, {}}, {.limit = Millis(50), .source = {}});
  EXPECT_EQ(outcome.problem, "connecting took too long");
}

TEST_F(ConnectTest, CancellingInMidConnectLeavesNothing) {
  FullListener full;
  {
    async::TaskScope scope(driver->loop);
    driver->turn([&] { scope.spawn(try_connect(driver->loop, {"127.0.0.1", full.port, {}}, {}, outcome)); });
    driver->run_for(Millis(10));
    driver->turn([&] { scope.cancel(); });
    EXPECT_TRUE(scope.empty());
    EXPECT_TRUE(outcome.cancelled);
  }
  full.fillers.clear();
  full.fd.reset();
  driver.reset();
  EXPECT_EQ(test::open_descriptors(), before);
}

TEST_F(ConnectTest, CancellingAfterTheConnectWasMadeButBeforeItWasToldLeavesNothing) {
  Listening backend;
  for (int i = 0; i < 20; ++i) {
    outcome = {};
    async::TaskScope scope(driver->loop);
    driver->turn(
        [&] { scope.spawn(try_connect(driver->loop, {"127.0.0.1", backend.port, {}}, {}, outcome)); });
    if (i % 2) uv_run(driver->loop.uv(), UV_RUN_NOWAIT);
    driver->turn([&] { scope.cancel(); });
    EXPECT_TRUE(scope.empty());
    if (outcome.stream) outcome.stream->abort();
    outcome.stream.reset();
  }
}

// What the end of the loop finds: abandoned lookups and attempts.
TEST_F(ConnectTest, CancellingLookupsLeavesNothingForTheLoop) {
  async::TaskScope scope(driver->loop);
  std::vector<Outcome> outcomes(12);  // more than libuv's thread pool takes at once
  driver->turn([&] {
    for (auto& one : outcomes)
      scope.spawn(try_connect(driver->loop, {"no-such-host.invalid", 143, {}}, {}, one));
  });
  driver->turn([&] { scope.cancel(); });
  EXPECT_TRUE(scope.empty());
  for (const auto& one : outcomes) EXPECT_TRUE(one.cancelled);
  driver.reset();
}

TEST_F(ConnectTest, UsesTheSourceAddress) {
  Listening backend;
  connect_to({"127.0.0.1", backend.port, {}}, {.source = base::IpAddress::parse("127.0.0.77")});
  ASSERT_TRUE(outcome.stream) << outcome.problem;
  auto accepted = backend.accept();
  sockaddr_in from{};
  socklen_t size = sizeof from;
  getpeername(accepted.get(), reinterpret_cast<sockaddr*>(&from), &size);
  EXPECT_EQ(ntohl(from.sin_addr.s_addr), 0x7f00004du);
  outcome.stream->abort();
  outcome = {};
  connect_to({"127.0.0.1", backend.port, {}}, {.source = base::IpAddress::parse("192.0.2.1")});
  EXPECT_EQ(outcome.problem, "can't bind to 192.0.2.1: address not available");
}

TEST_F(ConnectTest, ConnectsToUnixSocketsAndTellsWhyNot) {
  test::TestCertificates directory;
  const auto path = directory.directory() + "/backend";
  connect_to({{}, 0, path});
  EXPECT_EQ(outcome.problem, "no such file or directory");
  outcome = {};
  Fd listening(open_listening_socket({{}, 0, path}, 0600, BindCheck::kNone));
  connect_to({{}, 0, path});
  EXPECT_EQ(outcome.problem, "connection refused");
  outcome = {};
  ASSERT_EQ(listen(listening.get(), 4), 0);
  connect_to({{}, 0, path});
  ASSERT_TRUE(outcome.stream) << outcome.problem;
  EXPECT_EQ(outcome.stream->kind(), SocketKind::kUnix);
  outcome.stream->abort();
  outcome.stream.reset();
}

// libuv cuts a path that is too long, and would connect to another socket.
TEST_F(ConnectTest, AUnixPathThatIsTooLongIsRefusedAndNotCut) {
  test::TestCertificates directory;
  auto path = directory.directory() + "/";
  path.resize(sizeof(sockaddr_un{}.sun_path) - 1, 'x');
  Fd listening(open_listening_socket({{}, 0, path}, 0600, BindCheck::kNone));
  ASSERT_EQ(listen(listening.get(), 4), 0);
  connect_to({{}, 0, path + "yyy"});
  EXPECT_EQ(outcome.problem, "name too long");
  EXPECT_FALSE(outcome.stream);
  outcome = {};
}

}  // namespace
}  // namespace imapmux::net
