// The heap-allocated libuv handle behind TcpStream; for net's own files only.
#pragma once

#include <limits>

#include "net/tcp_stream.h"

namespace imapmux::net {

// Owned by libuv from its making to its close callback. `owner` is null once the stream is gone.
struct TcpStream::Socket final : Lingering {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };
  EventLoop& loop;
  TcpStream* owner = nullptr;
  bool reading = false;
  std::unique_ptr<async::Timer> linger_limit;

  // AF_UNSPEC for TCP without a socket yet.
  static Socket* make(EventLoop& loop, SocketKind kind);
  void close();  // frees itself later
  void close_now() override { close(); }
  bool has_unsent() const override { return !all_sent_; }
  // What comes goes to the owner. Idempotent; also while it connects.
  void start_reading();
  void stop_reading();
  // Sends `rest`, then shuts down and reads on until the peer has closed, or has taken nothing between two
  // looks: closing a socket that has unread octets resets it, and the peer would lose our last words.
  void linger(std::string rest);
  // Shuts our side down behind what is queued.
  void shut_down();

 private:
  void close_if_done();
  void look_whether_taken();
  void ended(ssize_t status);  // while it lingers
  size_t untaken();            // octets that the peer has not taken yet, ours and the kernel's
  size_t left_ = std::numeric_limits<size_t>::max();  // untaken at the last look
  bool shutting_down_ = false;
  bool all_sent_ = false;    // and shut down
  bool peer_ended_ = false;  // has shut down its side
  explicit Socket(EventLoop& on) : loop(on) {}
  ~Socket() = default;
};

struct WriteRequest {
  uv_write_t request;
  std::string octets;
};

}  // namespace imapmux::net
