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

// This process or its machine has no descriptors left, which says nothing about the other side.
class OutOfDescriptors : public ConnectionLost {
 public:
  using ConnectionLost::ConnectionLost;
};

// Tries the addresses of `endpoint` one after the other. Throws ConnectionLost{kBackend} with the reason of
// the last failure, or of the time limit; OutOfDescriptors at once. Cancelling leaves nothing behind.
async::Task<std::unique_ptr<TcpStream>> connect(EventLoop& loop, base::Endpoint endpoint,
                                                ConnectOptions options);

}  // namespace imapmux::net
