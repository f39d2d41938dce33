#include "app/listening.h"

#include <fcntl.h>

#include "net/listener.h"

namespace imapmux::app {

std::string socket_id(const config::Listener& listener) {
  const auto address = listener.bind.to_string();
  const bool any_port = !listener.bind.is_unix() && listener.bind.port == 0;
  return any_port ? listener.name + " " + address : address;
}

ListeningSockets open_sockets(const config::Listener& listener, size_t count, PortIs port) {
  ListeningSockets sockets{.id = socket_id(listener), .endpoint = listener.bind, .descriptors = {}};
  const bool is_tcp = !listener.bind.is_unix();
  sockets.kind = is_tcp ? net::SocketKind::kTcp : net::SocketKind::kUnix;
  const bool look = is_tcp && listener.bind.port != 0 && port == PortIs::kFree;
  const auto check = look ? net::BindCheck::kNobodyElse : net::BindCheck::kNone;
  const int first = net::open_listening_socket(listener.bind, listener.mode, check);
  sockets.descriptors.emplace_back(first);
  if (is_tcp) sockets.endpoint.port = net::bound_port(first);
  // All sockets are there before the first one listens: the kernel spreads connections over those that
  // listen.
  while (sockets.descriptors.size() < count)
    sockets.descriptors.emplace_back(another_socket(sockets.kind, sockets.endpoint, first));
  return sockets;
}

int another_socket(net::SocketKind kind, const base::Endpoint& endpoint, int descriptor) {
  if (kind == net::SocketKind::kUnix) return fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return net::open_listening_socket(endpoint, 0, net::BindCheck::kNone);
}

}  // namespace imapmux::app
