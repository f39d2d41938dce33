#include "admin/http_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>
#include <thread>

namespace imapmux::admin {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kNextRequest{2'000};  // of a connection that is kept
constexpr milliseconds kRequest{5'000};      // from its first octet to its last one
constexpr milliseconds kAnswer{30'000};
constexpr size_t kLargestRequest = HttpServer::kLargestBody + 64 * 1024;  // the headers, too
constexpr int kMostConnections = 64;
// So that it does not wait in accept(), where the socket can't be exchanged.
constexpr std::chrono::seconds kLookAgain{1};

// What httplib reads and writes, by turns: a request, its answer, the next request.
class Dialogue final : public httplib::Stream {
 public:
  explicit Dialogue(socket_t socket) : socket_(socket) {}

  // Whether there is one.
  bool next_request() {
    left_ = kLargestRequest;
    answering_ = false;
    ends_by_ = steady_clock::now() + kNextRequest;
    if (!has_unread() && !wait_for(POLLIN)) return false;
    ends_by_ = steady_clock::now() + kRequest;
    return true;
  }
  bool is_readable() const override { return has_unread() || wait_for(POLLIN); }
  bool is_writable() const override { return wait_for(POLLOUT); }

  ssize_t read(char* to, size_t size) override {
    if (!has_unread() && !fill()) return -1;
    const auto count = std::min({size, end_ - begin_, left_});
    std::copy_n(chunk_.data() + begin_, count, to);
    begin_ += count;
    left_ -= count;
    return count == 0 ? -1 : static_cast<ssize_t>(count);
  }
  ssize_t write(const char* octets, size_t size) override {
    if (!answering_) ends_by_ = steady_clock::now() + kAnswer;
    answering_ = true;
    return wait_for(POLLOUT) ? ::send(socket_, octets, size, MSG_NOSIGNAL | MSG_DONTWAIT) : -1;
  }

  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool has_unread() const { return begin_ < end_; }
  bool wait_for(short what) const {
    const auto left = std::chrono::ceil<milliseconds>(ends_by_ - steady_clock::now());
    pollfd ready{socket_, what, 0};
    return left > milliseconds(0) && ::poll(&ready, 1, static_cast<int>(left.count())) > 0;
  }
  bool fill() {
    if (!wait_for(POLLIN)) return false;
    const auto size = ::recv(socket_, chunk_.data(), chunk_.size(), MSG_DONTWAIT);
    begin_ = 0;
    end_ = size > 0 ? static_cast<size_t>(size) : 0;
    return size > 0;
  }

  const socket_t socket_;
  steady_clock::time_point ends_by_;
  size_t left_ = 0;  // of the largest request
  bool answering_ = false;
  std::array<char, 4096> chunk_{};
  size_t begin_ = 0;  // of what is unread in `chunk_`
  size_t end_ = 0;
};

}  // namespace

// The connections' threads share it, since they may outlive the server.
class HttpServer::Connections {
 public:
  void begin_one() {
    std::unique_lock lock(mutex_);
    fewer_.wait(lock, [this] { return running_ < kMostConnections || ending_; });
    ++running_;
  }
  void end_one() {
    const std::lock_guard lock(mutex_);
    --running_;
    fewer_.notify_all();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    fewer_.notify_all();
  }
  bool wait_for_all(milliseconds limit) {
    std::unique_lock lock(mutex_);
    return fewer_.wait_for(lock, limit, [this] { return running_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable fewer_;
  int running_ = 0;
  bool ending_ = false;
};

class HttpServer::Threads final : public httplib::TaskQueue {
 public:
  explicit Threads(std::shared_ptr<Connections> connections) : connections_(std::move(connections)) {}
  void enqueue(std::function<void()> work) override {
    connections_->begin_one();
    const auto serve = [work = std::move(work), connections = connections_] {
      work();
      connections->end_one();
    };
    try {
      std::thread(serve).detach();
    } catch (const std::system_error&) {
      serve();  // no thread is to be had (pids.max of a container): one after the other, then
    }
  }
  void shutdown() override {}

 private:
  const std::shared_ptr<Connections> connections_;
};

HttpServer::HttpServer() : connections_(std::make_shared<Connections>()) {
  new_task_queue = [connections = connections_] { return new Threads(connections); };
  set_payload_max_length(kLargestBody);
  set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(kNextRequest).count());
  set_idle_interval(kLookAgain);
  // Not SO_REUSEPORT, httplib's default: a second process would silently share the port.
  set_socket_options([](socket_t fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
}

base::Descriptor HttpServer::let_go() {
  base::Descriptor given(fcntl(svr_sock_, F_DUPFD_CLOEXEC, 0));
  const base::Descriptor nobody(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNIX;
  // autobind, unix(7)
  if (nobody.get() >= 0 && ::bind(nobody.get(), &nowhere, sizeof nowhere.sa_family) == 0)
    ::listen(nobody.get(), 1);
  dup3(nobody.get(), svr_sock_, O_CLOEXEC);
  return given;
}

void HttpServer::end() {
  connections_->end();
  stop();
}

bool HttpServer::wait_for_connections(milliseconds limit) const {
  return connections_->wait_for_all(limit);
}

bool HttpServer::process_and_close_socket(socket_t sock) {
  Dialogue dialogue(sock);
  bool closed = false;
  for (size_t left = keep_alive_max_count_; left > 0 && !closed; --left) {
    if (svr_sock_ == INVALID_SOCKET || !dialogue.next_request()) break;
    // Ranges: an answer could be as many times as large as they overlap.
    if (!process_request(dialogue, left == 1, closed,
                         [](httplib::Request& request) { request.ranges.clear(); }))
      break;
  }
  ::shutdown(sock, SHUT_RDWR);
  ::close(sock);
  return true;
}

}  // namespace imapmux::admin
