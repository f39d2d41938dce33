#include "net/connect.h"

#include <netdb.h>
#include <sys/un.h>

#include <cstring>

#include "net/socket.h"
#include "net/socket_options.h"

namespace imapmux::net {
namespace {

using async::Task;
using base::Millis;

[[noreturn]] void fail(int status, const std::string& what = {}) {
  const std::string reason = what + uv_strerror(status);
  if (status == UV_EMFILE || status == UV_ENFILE) throw OutOfDescriptors(Side::kBackend, reason);
  throw ConnectionLost(Side::kBackend, reason);
}

// A request to libuv that may outlive the task that waits for it: freed by whichever of both ends last.
struct Lookup {
  uv_getaddrinfo_t request;
  EventLoop& loop;
  async::Event done;
  bool finished = false;
  bool abandoned = false;
  int status = 0;
  std::vector<sockaddr_storage> addresses;
};

struct Attempt {
  uv_connect_t request;
  EventLoop& loop;
  async::Event done;
  bool finished = false;
  bool abandoned = false;
  int status = 0;
};

template <class Request>
struct Abandon {
  void operator()(Request* request) const {
    if (request->finished) {
      delete request;
    } else {
      request->abandoned = true;
      // A lookup that waits for a thread of libuv's pool need not be made; for all else this does nothing.
      uv_cancel(reinterpret_cast<uv_req_t*>(&request->request));
    }
  }
};

template <class Request>
using Owned = std::unique_ptr<Request, Abandon<Request>>;

// The libuv side: notes the end, or frees what nobody waits for.
template <class Request>
void finish(Request* request, int status) {
  EventLoop::Turn turn(request->loop);
  request->finished = true;
  request->status = status;
  if (request->abandoned) {
    delete request;
  } else {
    request->done.set();
  }
}

void collect(Lookup& lookup, const addrinfo* list) {
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, entry->ai_addr, entry->ai_addrlen);
    lookup.addresses.push_back(address);
  }
}

Task<std::vector<sockaddr_storage>> resolve(EventLoop& loop, base::Endpoint endpoint, Millis limit) {
  sockaddr_storage numeric{};
  if (uv_ip4_addr(endpoint.host.c_str(), endpoint.port, reinterpret_cast<sockaddr_in*>(&numeric)) == 0 ||
      uv_ip6_addr(endpoint.host.c_str(), endpoint.port, reinterpret_cast<sockaddr_in6*>(&numeric)) == 0)
    co_return std::vector<sockaddr_storage>{numeric};

  Owned<Lookup> lookup(new Lookup{.request = {}, .loop = loop, .done = {}, .addresses = {}});
  lookup->request.data = lookup.get();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  const auto port = std::to_string(endpoint.port);
  const int status = uv_getaddrinfo(
      loop.uv(), &lookup->request,
      [](uv_getaddrinfo_t* request, int result, addrinfo* list) noexcept {
        auto* self = static_cast<Lookup*>(request->data);
        collect(*self, list);
        uv_freeaddrinfo(list);
        finish(self, result);
      },
      endpoint.host.c_str(), port.c_str(), &hints);
  if (status != 0) {
    lookup->finished = true;
    throw ConnectionLost(Side::kBackend, uv_strerror(status));
  }
  auto result = co_await lookup->done.wait_for(limit);
  if (result == async::WaitResult::kTimeout)
    throw ConnectionLost(Side::kBackend, "looking up " + endpoint.host + " took too long");
  if (lookup->status != 0)
    throw ConnectionLost(Side::kBackend,
                         "can't resolve " + endpoint.host + ": " + uv_strerror(lookup->status));
  co_return std::move(lookup->addresses);
}

struct CloseSocket {
  void operator()(TcpStream::Socket* socket) const { socket->close(); }
};

void start_connect(TcpStream::Socket& socket, Attempt& attempt, const sockaddr_storage& address,
                   const ConnectOptions& options) {
  const auto& source = options.source;
  const auto on_connect = [](uv_connect_t* request, int status) noexcept {
    finish(static_cast<Attempt*>(request->data), status);
  };
  attempt.request.data = &attempt;
  if (source && source->is_v4() == (address.ss_family == AF_INET)) {
    sockaddr_storage from{};
    const auto text = source->to_string();
    if (source->is_v4()) {
      uv_ip4_addr(text.c_str(), 0, reinterpret_cast<sockaddr_in*>(&from));
    } else {
      uv_ip6_addr(text.c_str(), 0, reinterpret_cast<sockaddr_in6*>(&from));
    }
    const int bound = uv_tcp_bind(&socket.tcp, reinterpret_cast<const sockaddr*>(&from), 0);
    if (bound != 0) {
      attempt.finished = true;
      fail(bound, "can't bind to " + text + ": ");
    }
  }
  const int status =
      uv_tcp_connect(&attempt.request, &socket.tcp, reinterpret_cast<const sockaddr*>(&address), on_connect);
  if (status != 0) {
    attempt.finished = true;
    fail(status);
  }
  uv_os_fd_t fd = -1;
  if (uv_fileno(&socket.handle, &fd) == 0) set_tcp_options(fd, options.keepalive);
  socket.start_reading();  // which will be wanted: asking for it later is one system call more
}

void start_connect(TcpStream::Socket& socket, Attempt& attempt, const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {  // libuv would cut it
    attempt.finished = true;
    fail(UV_ENAMETOOLONG);
  }
  attempt.request.data = &attempt;
  uv_pipe_connect(&attempt.request, &socket.pipe, path.c_str(),
                  [](uv_connect_t* request, int status) noexcept {
                    finish(static_cast<Attempt*>(request->data), status);
                  });
}

// One attempt; `address` is null for a unix socket.
Task<std::unique_ptr<TcpStream>> attempt_one(EventLoop& loop, const base::Endpoint& endpoint,
                                             const sockaddr_storage* address, ConnectOptions options,
                                             Millis limit) {
  const auto kind = address ? SocketKind::kTcp : SocketKind::kUnix;
  std::unique_ptr<TcpStream::Socket, CloseSocket> socket(TcpStream::Socket::make(loop, kind));
  Owned<Attempt> attempt(new Attempt{.request = {}, .loop = loop, .done = {}});
  if (address) {
    start_connect(*socket, *attempt, *address, options);
  } else {
    start_connect(*socket, *attempt, endpoint.path);
  }
  auto result = co_await attempt->done.wait_for(limit);
  if (result == async::WaitResult::kTimeout) throw ConnectionLost(Side::kBackend, "connecting took too long");
  if (attempt->status != 0) fail(attempt->status);
  auto peer = address ? peer_at(*address) : PeerFacts{};
  co_return std::make_unique<TcpStream>(loop, socket.release(), kind, Side::kBackend, std::move(peer));
}

}  // namespace

Task<std::unique_ptr<TcpStream>> connect(EventLoop& loop, base::Endpoint endpoint, ConnectOptions options) {
  const auto deadline = loop.now() + options.limit;
  if (endpoint.is_unix()) {
    auto stream = co_await attempt_one(loop, endpoint, nullptr, options, options.limit);
    co_return stream;
  }
  auto addresses = co_await resolve(loop, endpoint, options.limit);
  std::string problem = "no address for " + endpoint.host;
  for (size_t i = 0; i < addresses.size(); ++i) {
    // What is left is shared among the addresses left, so that one that drops packets does not use up all of
    // it.
    const auto left = std::max(Millis(1), std::chrono::duration_cast<Millis>(deadline - loop.now()));
    const auto share = left / static_cast<int64_t>(addresses.size() - i);
    std::unique_ptr<TcpStream> stream;
    try {
      stream = co_await attempt_one(loop, endpoint, &addresses[i], options, std::max(Millis(1), share));
    } catch (const OutOfDescriptors&) {
      throw;
    } catch (const ConnectionLost& error) {
      problem = error.what();
    }
    if (stream) co_return stream;
  }
  throw ConnectionLost(Side::kBackend, problem);
}

}  // namespace imapmux::net
