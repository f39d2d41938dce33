// Listening sockets: accepting, sharing a port, sharing a path, and running out of descriptors.
#include "net/listener.h"

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <valgrind/valgrind.h>

#include <filesystem>
#include <fstream>

#include "support/loop_driver.h"
#include "support/test_certificates.h"

namespace imapmux::net {
namespace {

using base::Millis;
using test::Fd;
using test::LoopDriver;
using test::LoopThread;

Fd connect_to(uint16_t port) {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

Fd connect_to(const std::string& path) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof to.sun_path - 1);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

const base::Endpoint kAnyPort{"127.0.0.1", 0, {}};

std::string problem_of(const base::Endpoint& endpoint, BindCheck check) {
  try {
    ::close(open_listening_socket(endpoint, 0600, check));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return {};
}

TEST(Listener, AcceptsAndDropsWhatIsNotWanted) {
  LoopDriver driver;
  const int fd = open_listening_socket(kAnyPort, 0, BindCheck::kNobodyElse);
  const auto port = bound_port(fd);
  std::vector<std::unique_ptr<TcpStream>> accepted;
  Listener listener(driver.loop, fd, SocketKind::kTcp, Millis(60'000),
                    [&](std::unique_ptr<TcpStream> stream) {
                      if (accepted.size() < 2) accepted.push_back(std::move(stream));
                    });
  auto one = connect_to(port);
  auto two = connect_to(port);
  auto three = connect_to(port);
  ASSERT_TRUE(driver.run_until([&] {
    three.receive();
    return accepted.size() == 2 && three.ended;
  }));
  EXPECT_EQ(accepted[0]->side(), Side::kClient);
  EXPECT_TRUE(accepted[0]->peer().is_loopback());
  EXPECT_EQ(accepted[0]->peer().to_string().substr(0, 10), "127.0.0.1:");
  accepted.clear();
}

int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, name, &value, &size), 0);
  return value;
}

// The listening socket has them, and they are inherited.
TEST(Listener, WhatIsAcceptedHasTheOptions) {
  for (const auto keepalive : {Millis(60'000), Millis(0)}) {
    LoopDriver driver;
    const int fd = open_listening_socket(kAnyPort, 0, BindCheck::kNobodyElse);
    const auto port = bound_port(fd);
    std::unique_ptr<TcpStream> accepted;
    Listener listener(driver.loop, fd, SocketKind::kTcp, keepalive,
                      [&](std::unique_ptr<TcpStream> stream) { accepted = std::move(stream); });
    auto client = connect_to(port);
    ASSERT_TRUE(driver.run_until([&] { return accepted != nullptr; }));
    const Fd copy(accepted->release());
    EXPECT_EQ(option_of(copy.get(), IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option_of(copy.get(), SOL_SOCKET, SO_KEEPALIVE), keepalive.count() > 0 ? 1 : 0);
    if (keepalive.count() > 0) {
      EXPECT_EQ(option_of(copy.get(), IPPROTO_TCP, TCP_KEEPIDLE), 60);
    }
    accepted.reset();
  }
}

// A peer that has reset its connection before it was accepted is no local one.
TEST(Listener, AVanishedTcpPeerIsNotTakenForALocalOne) {
  LoopDriver driver;
  const int fd = open_listening_socket(kAnyPort, 0, BindCheck::kNobodyElse);
  const auto port = bound_port(fd);
  std::vector<std::unique_ptr<TcpStream>> accepted;
  Listener listener(driver.loop, fd, SocketKind::kTcp, Millis(0),
                    [&](std::unique_ptr<TcpStream> stream) { accepted.push_back(std::move(stream)); });
  connect_to(port).reset_connection();
  auto second = connect_to(port);
  // The kernel may drop it instead.
  ASSERT_TRUE(driver.run_until([&] { return !accepted.empty() && accepted.back()->peer().port != 0; }));
  for (const auto& one : accepted) EXPECT_NE(one->peer().to_string(), "unix");
  accepted.clear();
}

TEST(Listener, WorkersShareAPort) {
  const int first = open_listening_socket(kAnyPort, 0, BindCheck::kNobodyElse);
  const auto port = bound_port(first);
  const int second = open_listening_socket({"127.0.0.1", port, {}}, 0, BindCheck::kNone);
  LoopThread a;
  LoopThread b;
  std::vector<Fd> clients;
  std::vector<std::unique_ptr<TcpStream>> at_a;
  std::vector<std::unique_ptr<TcpStream>> at_b;
  std::unique_ptr<Listener> on_a;
  std::unique_ptr<Listener> on_b;
  a.call([&] {
    on_a = std::make_unique<Listener>(a.loop, first, SocketKind::kTcp, Millis(0),
                                      [&](auto stream) { at_a.push_back(std::move(stream)); });
  });
  b.call([&] {
    on_b = std::make_unique<Listener>(b.loop, second, SocketKind::kTcp, Millis(0),
                                      [&](auto stream) { at_b.push_back(std::move(stream)); });
  });
  for (int i = 0; i < 200; ++i) clients.push_back(connect_to(port));
  size_t total = 0;
  for (int i = 0; i < 10'000 && total < 200; ++i)
    total = a.call([&] { return at_a.size(); }) + b.call([&] { return at_b.size(); });
  EXPECT_EQ(total, 200u);
  EXPECT_GT(a.call([&] { return at_a.size(); }), 0u);
  EXPECT_GT(b.call([&] { return at_b.size(); }), 0u);
  a.call([&] {
    on_a.reset();
    at_a.clear();
  });
  b.call([&] {
    on_b.reset();
    at_b.clear();
  });
}

TEST(Listener, AnAddressThatSomebodyListensOnIsInUse) {
  // Another process with SO_REUSEPORT, as a second proxy would be.
  Fd other(open_listening_socket(kAnyPort, 0, BindCheck::kNone));
  ASSERT_EQ(listen(other.get(), 1), 0);
  const base::Endpoint taken{"127.0.0.1", bound_port(other.get()), {}};
  EXPECT_EQ(problem_of(taken, BindCheck::kNone), "");
  EXPECT_EQ(problem_of(taken, BindCheck::kNobodyElse),
            "can't bind " + taken.to_string() + ": Address already in use");
  other.reset();
  EXPECT_EQ(problem_of(taken, BindCheck::kNobodyElse), "");
}

TEST(Listener, ProblemsNameTheAddress) {
  EXPECT_EQ(problem_of({"192.0.2.1", 0, {}}, BindCheck::kNone),
            "can't bind 192.0.2.1:0: Cannot assign requested address");
  EXPECT_EQ(problem_of({"mail.example.org", 143, {}}, BindCheck::kNone),
            "can't listen on mail.example.org:143: a numeric address is needed");
  EXPECT_EQ(problem_of({{}, 0, "/no/such/directory/socket"}, BindCheck::kNone),
            "can't bind unix:/no/such/directory/socket: No such file or directory");
  EXPECT_NE(problem_of({{}, 0, std::string(200, 'x')}, BindCheck::kNone), "");
}

TEST(Listener, TakesOverAnySocketOrSaysWhyNot) {
  LoopDriver().turn([] {});  // libuv opens some descriptors once
  const auto before = test::open_descriptors();
  auto driver = std::make_unique<LoopDriver>();
  EXPECT_THROW(Listener(driver->loop, -1, SocketKind::kTcp, Millis(0), [](auto) {}), std::runtime_error);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Fd other(ends[1]);
  EXPECT_THROW(Listener(driver->loop, ends[0], SocketKind::kUnix, Millis(0), [](auto) {}),
               std::runtime_error);
  other.reset();
  driver.reset();
  EXPECT_EQ(test::open_descriptors(), before);
}

struct UnixListener : testing::Test {
  test::TestCertificates files;
  std::string path = files.directory() + "/imap";
  base::Endpoint endpoint{{}, 0, path};
};

TEST_F(UnixListener, AcceptsWithTheModeAskedFor) {
  LoopDriver driver;
  std::unique_ptr<TcpStream> accepted;
  Listener listener(driver.loop, open_listening_socket(endpoint, 0640, BindCheck::kNobodyElse),
                    SocketKind::kUnix, Millis(0), [&](auto stream) { accepted = std::move(stream); });
  struct stat facts{};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0640u);
  auto client = connect_to(path);
  ASSERT_TRUE(driver.run_until([&] { return accepted != nullptr; }));
  EXPECT_EQ(accepted->peer().to_string(), "unix");
  accepted.reset();
}

TEST_F(UnixListener, LoopsShareOneDescriptor) {
  LoopDriver driver;
  int accepted = 0;
  const int fd = open_listening_socket(endpoint, 0600, BindCheck::kNobodyElse);
  const auto count = [&](std::unique_ptr<TcpStream> stream) {
    ++accepted;
    stream->abort();
  };
  Listener first(driver.loop, fd, SocketKind::kUnix, Millis(0), count);
  LoopDriver other;
  Listener second(other.loop, dup(fd), SocketKind::kUnix, Millis(0), count);
  auto one = connect_to(path);
  ASSERT_TRUE(driver.run_until([&] { return accepted == 1; }));
  other.run_for(Millis(5));
  auto two = connect_to(path);
  ASSERT_TRUE(other.run_until([&] { return accepted == 2; }));
  driver.run_for(Millis(5));
  EXPECT_EQ(accepted, 2);
}

TEST_F(UnixListener, ReplacesASocketFileThatACrashLeftBehind) {
  Fd crashed(open_listening_socket(endpoint, 0600, BindCheck::kNobodyElse));
  ASSERT_EQ(listen(crashed.get(), 1), 0);
  EXPECT_EQ(problem_of(endpoint, BindCheck::kNobodyElse),
            "can't bind " + endpoint.to_string() + ": Address already in use");
  crashed.reset();
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(problem_of(endpoint, BindCheck::kNobodyElse), "");
}

// connect() to a file that is no socket is refused, too.
TEST_F(UnixListener, NeverRemovesAFileThatIsNoSocket) {
  files.write("imap", "precious");
  EXPECT_EQ(problem_of(endpoint, BindCheck::kNobodyElse),
            "can't bind " + endpoint.to_string() + ": Address already in use");
  std::string content;
  std::ifstream(path) >> content;
  EXPECT_EQ(content, "precious");
}

struct DescriptorLimit {
  explicit DescriptorLimit(rlim_t most) {
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit now{most, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~DescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before); }
  rlimit before{};
};

#if !__has_feature(address_sanitizer)  // which needs descriptors itself
// Out of descriptors, the loop goes on with everything else, and accepts again when there are some.
TEST(Listener, RunningOutOfDescriptorsNeitherSpinsNorLosesClients) {
  LoopDriver driver;
  const int fd = open_listening_socket(kAnyPort, 0, BindCheck::kNobodyElse);
  const auto port = bound_port(fd);
  std::vector<std::unique_ptr<TcpStream>> accepted;
  Listener listener(driver.loop, fd, SocketKind::kTcp, Millis(0),
                    [&](auto stream) { accepted.push_back(std::move(stream)); });
  driver.run_for(Millis(2));
  auto one = connect_to(port);
  auto two = connect_to(port);
  int turns = 0;
  {
    const DescriptorLimit limit(3);
    bool over = false;
    async::Timer timer(driver.loop, [&] { over = true; });
    driver.turn([&] { timer.start(Millis(250)); });
    while (!over) {
      ++turns;
      uv_run(driver.loop.uv(), UV_RUN_ONCE);
    }
  }
  EXPECT_LT(turns, 50);
  EXPECT_EQ(accepted.size(), 0u);
  auto three = connect_to(port);
  // valgrind plays the limit itself: it lets the kernel accept, and closes what is beyond. Only the third is
  // safe.
  const size_t least = RUNNING_ON_VALGRIND ? 1 : 3;
  ASSERT_TRUE(driver.run_until([&] { return accepted.size() >= least; }));
  accepted.clear();
}
#endif

}  // namespace
}  // namespace imapmux::net
