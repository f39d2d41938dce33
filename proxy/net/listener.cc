#include "net/listener.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "base/log.h"
#include "net/socket.h"

namespace imapmux::net {
namespace {

[[noreturn]] void fail(const base::Endpoint& endpoint, const char* what, int error) {
  throw std::runtime_error("can't " + std::string(what) + " " + endpoint.to_string() + ": " +
                           strerror(error));
}

// Closes on the way out unless released.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

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
  Descriptor fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
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
  Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) fail(endpoint, "make a socket for", errno);
  // A socket file that nobody listens on is what a crash left behind.
  const int connected = connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  if (connected == 0) fail(endpoint, "bind", EADDRINUSE);
  if (errno == ECONNREFUSED) unlink(endpoint.path.c_str());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    fail(endpoint, "bind", errno);
  if (chmod(endpoint.path.c_str(), mode) != 0) fail(endpoint, "set the mode of", errno);
  return fd.release();
}

}  // namespace

int open_listening_socket(const base::Endpoint& endpoint, uint32_t unix_mode, BindCheck check) {
  if (endpoint.is_unix()) return bind_unix(endpoint, unix_mode);
  if (check == BindCheck::kNobodyElse) {
    const Descriptor probe(bind_tcp(endpoint, 0));
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
    : loop_(loop),
      socket_(TcpStream::Socket::make(loop, kind)),
      kind_(kind),
      keepalive_(keepalive),
      accept_(std::move(accept)) {
  int status = kind == SocketKind::kTcp ? uv_tcp_open(&socket_->tcp, fd) : uv_pipe_open(&socket_->pipe, fd);
  if (status != 0) ::close(fd);
  // A listening handle never meets TcpStream's callbacks, so its data can be the listener.
  socket_->handle.data = this;
  if (status == 0)
    status = uv_listen(&socket_->stream, kBacklog, [](uv_stream_t* handle, int result) {
      auto* self = static_cast<Listener*>(handle->data);
      if (!self) return;
      EventLoop::Turn turn(self->loop_);
      self->on_connection(result);
    });
  if (status != 0) {
    socket_->handle.data = socket_;
    socket_->close();
    throw std::runtime_error(std::string("can't listen: ") + uv_strerror(status));
  }
}

Listener::~Listener() {
  socket_->handle.data = socket_;
  socket_->close();
}

void Listener::on_connection(int status) {
  if (status != 0) {
    base::log::warn("accepting failed: {}", uv_strerror(status));
    return;
  }
  auto* client = TcpStream::Socket::make(loop_, kind_);
  if (uv_accept(&socket_->stream, &client->stream) != 0) {
    client->close();
    return;
  }
  accept_(std::make_unique<TcpStream>(loop_, client, kind_, Side::kClient, keepalive_));
}

}  // namespace imapmux::net
