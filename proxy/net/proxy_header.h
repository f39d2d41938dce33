// Reading the PROXY header of a connection before anything else does.
#pragma once

#include "async/task.h"
#include "net/tcp_stream.h"

namespace imapmux::net {

// Reads the header from a fresh stream, whose peer is then the one it names; what follows comes to the next
// handler. Without a time limit of its own. Throws ConnectionLost with what is wrong with the header, or that
// the peer went away before it was there.
async::Task<> receive_proxy_header(TcpStream& stream);

}  // namespace imapmux::net
