// Opening connections: names to addresses (on libuv's thread pool) and connecting.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "async/task.h"
#include "base/address.h"
#include "net/tcp_stream.h"

namespace imapmux::net {

struct ConnectOptions {
  base::Millis limit{5'000};              // for all of it
  base::Millis keepalive{60'000};         // 0 = off
  std::optional<base::IpAddress> source;  // used for addresses of its family
};

// Tries the addresses of `endpoint` one after the other. Throws ConnectionLost{kBackend} with the reason of
// the last failure, or of the time limit. Cancelling leaves nothing behind.
async::Task<std::unique_ptr<TcpStream>> connect(EventLoop& loop, base::Endpoint endpoint,
                                                ConnectOptions options);

}  // namespace imapmux::net
