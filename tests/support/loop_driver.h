// What tests of net need: a loop driven from the test's own thread, loops in threads, connected sockets, and
// a handler that records.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "async/task_scope.h"
#include "net/event_loop.h"
#include "net/tcp_stream.h"

namespace imapmux::test {

// A loop that runs in the test's thread until something has happened. Its destructor asserts that all
// handles are gone.
class LoopDriver {
 public:
  // False: it has not happened within a very generous time.
  bool run_until(const std::function<bool()>& done) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::seconds(60);
    async::Timer tick(loop, [&] { tick.start(base::Millis(5)); });
    turn([&] { tick.start(base::Millis(0)); });
    while (!done()) {
      if (Clock::now() > deadline) return false;
      uv_run(loop.uv(), UV_RUN_ONCE);
    }
    return true;
  }
  // Lets whatever is under way go on for a while: for what must not happen.
  void run_for(base::Millis time) {
    bool over = false;
    async::Timer timer(loop, [&] { over = true; });
    uv_update_time(loop.uv());
    {
      net::EventLoop::Turn turn(loop);
      timer.start(time);
    }
    run_until([&] { return over; });
  }
  // Runs f as a callback of the loop would.
  void turn(const std::function<void()>& f) {
    net::EventLoop::Turn turn(loop);
    f();
  }
  void run_task(async::Task<> task) {
    async::TaskScope scope(loop);
    scope.spawn(std::move(task));
    EXPECT_TRUE(run_until([&] { return scope.empty(); }));
  }

  net::EventLoop loop;
};

// A loop in a thread of its own.
class LoopThread {
 public:
  LoopThread() : thread_([this] { loop.run(); }) {}
  ~LoopThread() {
    loop.stop();
    thread_.join();
  }
  // Runs f there and waits for it.
  template <class F>
  auto call(F f) {
    std::promise<decltype(f())> result;
    auto future = result.get_future();
    loop.post([&] {
      if constexpr (std::is_void_v<decltype(f())>) {
        f();
        result.set_value();
      } else {
        result.set_value(f());
      }
    });
    return future.get();
  }
  // Asks until it is true.
  bool wait_until(const std::function<bool()>& done) {
    for (int i = 0; i < 30'000; ++i) {
      if (call([&] { return done(); })) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  net::EventLoop loop;

 private:
  std::thread thread_;
};

// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void reset_connection() {  // RST instead of FIN
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    reset();
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  // Whole, or as much as a full socket takes.
  size_t send(std::string_view octets) {
    size_t sent = 0;
    while (sent < octets.size()) {
      const auto n = ::send(fd_, octets.data() + sent, octets.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    return sent;
  }
  // What is there; sets `ended` at EOF and `error` at an error.
  std::string receive(size_t most = 1 << 20) {
    std::string all;
    while (all.size() < most) {
      char buffer[65536];
      const auto n = ::recv(fd_, buffer, std::min(sizeof buffer, most - all.size()), MSG_DONTWAIT);
      if (n > 0) {
        all.append(buffer, static_cast<size_t>(n));
        continue;
      }
      if (n == 0) ended = true;
      if (n < 0 && errno != EAGAIN) error = errno;
      break;
    }
    return all;
  }
  bool ended = false;
  int error = 0;

 private:
  int fd_;
};

// Who is at the other end of tcp_pair(), more or less.
inline const net::PeerFacts kLocalPeer{
    .address = base::IpAddress::parse("127.0.0.1"), .port = 50123, .sni = {}};

// Two ends of a TCP connection over loopback.
inline std::pair<Fd, Fd> tcp_pair() {
  Fd listening(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listening.get(), 1), 0);
  getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size);
  Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  Fd server(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return {std::move(client), std::move(server)};
}

inline std::pair<Fd, Fd> unix_pair() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

inline size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 1024; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

// Text that differs everywhere, so that a misplaced piece is seen.
inline std::string pattern(size_t size) {
  std::string text;
  text.reserve(size + 16);
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i * 7919) + ",";
  text.resize(size);
  return text;
}

struct Recorder : net::StreamHandler {
  void on_data(std::string_view chunk) noexcept override {
    ++chunks;
    data.append(chunk);
    if (then) then(chunk);
  }
  void on_eof() noexcept override {
    ++eofs;
    if (at_eof) at_eof();
  }
  void on_lost(const std::string& why) noexcept override {
    ++losses;
    reason = why;
    if (at_loss) at_loss();
  }
  void on_drained() noexcept override {
    ++drained;
    if (at_drained) at_drained();
  }
  std::string data;
  std::string reason;
  int chunks = 0;
  int eofs = 0;
  int losses = 0;
  int drained = 0;
  std::function<void(std::string_view)> then;
  std::function<void()> at_eof;
  std::function<void()> at_loss;
  std::function<void()> at_drained;
};

}  // namespace imapmux::test
