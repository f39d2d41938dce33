// What every TCP socket of the proxy is told, and whom it is connected to.
#pragma once

#include <sys/socket.h>

#include "base/time.h"
#include "net/stream.h"

namespace imapmux::net {

// TCP_NODELAY, and TCP keep-alive with `keepalive` as the idle time before the first probe; 0: none. What a
// listening socket is told holds for all that it accepts (Linux), which saves their calls.
void set_tcp_options(int fd, base::Millis keepalive);

// Of the address that accept() or a resolver told.
PeerFacts peer_at(const sockaddr_storage& address);
// Adds the socket's own address, unless it is known or a unix socket's.
void add_local_address(PeerFacts& facts, int fd);

}  // namespace imapmux::net
