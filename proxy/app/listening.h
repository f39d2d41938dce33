// The sockets of a listener: which one it is, and opening them. A worker each has one of a TCP address
// (SO_REUSEPORT); the one of a unix socket is shared. Main thread, and whoever reloads.
#pragma once

#include <string>
#include <vector>

#include "base/descriptor.h"
#include "config/config.h"
#include "net/socket.h"

namespace imapmux::app {

// Two listeners of the same address are one socket, whatever else is said of them: a reload and a take-over
// keep it. With port 0 (any) it is the listener's own.
std::string socket_id(const config::Listener& listener);

struct ListeningSockets {
  std::string id;
  base::Endpoint endpoint;  // with the port that it got
  net::SocketKind kind = net::SocketKind::kTcp;
  std::vector<base::Descriptor> descriptors;
};

// Who else may listen on the port: nobody, or it is one of ours that is about to close.
enum class PortIs : uint8_t { kFree, kOurs };

// `count` of them, bound, not yet listening. Throws std::runtime_error.
ListeningSockets open_sockets(const config::Listener& listener, size_t count, PortIs port);

// One more of a socket that is open.
int another_socket(net::SocketKind kind, const base::Endpoint& endpoint, int descriptor);

}  // namespace imapmux::app
