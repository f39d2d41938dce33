#include "net/listener.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "base/descriptor.h"
#include "base/log.h"
#include "net/socket_options.h"

namespace imapmux::net {
namespace {

constexpr int kAcceptsPerTurn = 64;  // then everybody else has a turn
constexpr base::Millis kPause{100};

[[noreturn]] void fail(const base::Endpoint& endpoint, const char* what, int error) {
  throw std::runtime_error("can't " + std::string(what) + " " + endpoint.to_string() + ": " +
                           strerror(error));
}

socklen_t to_sockaddr(const base::Endpoint& endpoint, sockaddr_storage& storage) {
  const std::string host = endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host;
  if (host.empty() || host == "*") {
    uv_ip6_addr("::", endpoint.port, reinterpret_cast<sockaddr_in6*>(&storage));
    return sizeof(sockaddr_in6);
  }
  if (uv_ip4_addr(host.c_str(), endpoint.port, reinterpret_cast<sockaddr_in*>(&storage)) == 0)
    return sizeof(sockaddr_in);
  if (uv_ip6_addr(host.c_str(), endpoint.port, reinterpret_cast<sockaddr_in6*>(&storage)) == 0)
    return sizeof(sockaddr_in6);
  throw std::runtime_error("can't listen on " + endpoint.to_string() + ": a numeric address is needed");
}

int bind_tcp(const base::Endpoint& endpoint, int option) {
  sockaddr_storage address{};
  const socklen_t size = to_sockaddr(endpoint, address);
  base::Descriptor fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) fail(endpoint, "make a socket for", errno);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (option) setsockopt(fd.get(), SOL_SOCKET, option, &on, sizeof on);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) fail(endpoint, "bind", errno);
  return fd.release();
}

int bind_unix(const base::Endpoint& endpoint, uint32_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (endpoint.path.size() >= sizeof address.sun_path) fail(endpoint, "bind", ENAMETOOLONG);
  std::memcpy(address.sun_path, endpoint.path.data(), endpoint.path.size());
  base::Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) fail(endpoint, "make a socket for", errno);
  // A socket file that nobody listens on is what a crash left behind. Other files refuse a connection, too.
  const int connected = connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  if (connected == 0) fail(endpoint, "bind", EADDRINUSE);
  const bool refused = errno == ECONNREFUSED;
  struct stat facts{};
  if (refused && lstat(endpoint.path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode))
    unlink(endpoint.path.c_str());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fail(endpoint, "bind", errno);
  if (chmod(endpoint.path.c_str(), mode) != 0) fail(endpoint, "set the mode of", errno);
  return fd.release();
}

}  // namespace

int open_listening_socket(const base::Endpoint& endpoint, uint32_t unix_mode, BindCheck check) {
  if (endpoint.is_unix()) return bind_unix(endpoint, unix_mode);
  if (check == BindCheck::kNobodyElse) {
    const base::Descriptor probe(bind_tcp(endpoint, 0));
    if (listen(probe.get(), 1) != 0) fail(endpoint, "listen on", errno);
  }
  return bind_tcp(endpoint, SO_REUSEPORT);
}

uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

Listener::Listener(EventLoop& loop, int fd, SocketKind kind, base::Millis keepalive, Accept accept)
    : loop_(loop), fd_(fd), kind_(kind), accept_(std::move(accept)), resume_(loop, [this] { listen(); }) {
  base::Descriptor owned(fd);
  if (::listen(fd, kBacklog) != 0) throw std::runtime_error(std::string("can't listen: ") + strerror(errno));
  if (kind == SocketKind::kTcp) set_tcp_options(fd, keepalive);
  auto poll = std::make_unique<uv_poll_t>();
  const int status = uv_poll_init(loop.uv(), poll.get(), fd);
  if (status != 0) throw std::runtime_error(std::string("can't listen: ") + uv_strerror(status));
  poll_ = poll.release();
  poll_->data = this;
  owned.release();
  listen();
}

Listener::~Listener() {
  uv_close(reinterpret_cast<uv_handle_t*>(poll_),
           [](uv_handle_t* closed) { delete reinterpret_cast<uv_poll_t*>(closed); });
  ::close(fd_);
}

void Listener::listen() {
  uv_poll_start(poll_, UV_READABLE, [](uv_poll_t* handle, int, int) noexcept {
    auto* self = static_cast<Listener*>(handle->data);
    EventLoop::Turn turn(self->loop_);
    self->accept_waiting();
  });
}

void Listener::set_keepalive(base::Millis keepalive) {
  if (kind_ == SocketKind::kTcp) set_tcp_options(fd_, keepalive);
}

void Listener::hold() {
  resume_.stop();
  uv_poll_stop(poll_);
}

void Listener::let_nobody_in() {
  if (kind_ != SocketKind::kTcp) return;  // its path is gone
  // RFC 9293, 3.1: the flags are octet 13 of the TCP header, where the filter's view begins. SYN without ACK.
  std::array program = std::to_array<sock_filter>({
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
  });
  const sock_fprog filter{program.size(), program.data()};
  if (setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0)
    base::log::warn("can't keep newcomers from a listener that closes: {}", strerror(errno));
}

bool Listener::accept_all() {
  for (;;) {
    const auto queue = accept_waiting();
    if (queue != Queue::kMore) return queue == Queue::kEmpty;
  }
}

Listener::Queue Listener::accept_waiting() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int client = accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) {
      const int error = errno;
      if (error == EINTR || error == ECONNABORTED) continue;
      if (error == EAGAIN) return Queue::kEmpty;
      pause(error);
      return Queue::kStuck;
    }
    short_ = false;
    std::unique_ptr<TcpStream> stream;
    try {
      stream = TcpStream::adopt(loop_, client, kind_, Side::kClient, peer_at(peer));
    } catch (const ConnectionLost& problem) {
      base::log::warn("accepting failed: {}", problem.what());
    }
    if (stream) accept_(std::move(stream));
  }
  return Queue::kMore;
}

void Listener::pause(int error) {
  uv_poll_stop(poll_);
  resume_.start(kPause);
  if (!short_) base::log::warn("accepting failed, trying again: {}", strerror(error));
  short_ = true;
}

}  // namespace imapmux::net
