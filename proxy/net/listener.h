// A listening socket of one worker. Every worker has its own for the same address (SO_REUSEPORT), so that the
// kernel spreads the connections; a unix socket's descriptor is shared. Owned by its worker, on its thread.
//
// Accepts by itself instead of through uv_listen, which closes clients when descriptors run out, and spins
// when even its spare one is gone: here they wait in the backlog until there are descriptors again.
#pragma once

#include <functional>
#include <memory>

#include "net/tcp_stream.h"

namespace imapmux::net {

// Opens a listening descriptor: bound with SO_REUSEPORT, not yet listening. Called before the threads start.
// `exclusive_check`: fails if another process listens there already, which SO_REUSEPORT alone would not
// notice. Throws std::runtime_error with the address and the reason.
enum class BindCheck : uint8_t { kNobodyElse, kNone };
int open_listening_socket(const base::Endpoint& endpoint, uint32_t unix_mode, BindCheck check);
// The port that a descriptor was bound to.
uint16_t bound_port(int fd);

class Listener {
 public:
  static constexpr int kBacklog = 4096;
  using Accept = std::function<void(std::unique_ptr<TcpStream>)>;

  // Takes over `fd`. Throws std::runtime_error. `keepalive`: see socket_options.h. `accept` must not destroy
  // the listener.
  Listener(EventLoop& loop, int fd, SocketKind kind, base::Millis keepalive, Accept accept);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // For those who come from here on.
  void set_keepalive(base::Millis keepalive);
  // Who comes waits in the queue, until go_on().
  void hold();
  void go_on() { listen(); }
  // Closing a TCP socket resets who waits in its queue, so that before it is closed, nobody new may get
  // there: whose SYN comes now is not answered (and refused when it comes again, after the close). Who has
  // half come in still comes.
  void let_nobody_in();
  // Accepts all who wait. False: there are not enough descriptors for that now.
  bool accept_all();

 private:
  enum class Queue : uint8_t { kEmpty, kMore, kStuck };
  void listen();
  Queue accept_waiting();
  void pause(int error);

  EventLoop& loop_;
  int fd_;
  uv_poll_t* poll_ = nullptr;
  SocketKind kind_;
  Accept accept_;
  async::Timer resume_;
  bool short_ = false;  // of descriptors or memory, and logged
};

}  // namespace imapmux::net
