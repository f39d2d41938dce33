// A TCP or unix-socket connection on libuv.
//
// The libuv handle lives on the heap (Socket, in tcp_stream.cc) and is freed in its close callback, later
// than the stream. Octets in flight belong to the write request. See Stream for who may call what.
#pragma once

#include <memory>

#include "net/event_loop.h"
#include "net/stream.h"

namespace imapmux::net {

enum class SocketKind : uint8_t { kTcp, kUnix };

class TcpStream final : public Stream, private Flushable, private async::ReadyNode {
 public:
  struct Socket;  // the libuv handle

  // Takes over a connected descriptor that has its options (socket_options.h); closed on failure: throws
  // ConnectionLost.
  static std::unique_ptr<TcpStream> adopt(EventLoop& loop, int fd, SocketKind kind, Side side,
                                          PeerFacts peer);
  // Used by adopt() and connect().
  TcpStream(EventLoop& loop, Socket* socket, SocketKind kind, Side side, PeerFacts peer);
  ~TcpStream() override;

  void set_handler(StreamHandler* handler) override;
  void start_reading() override;
  void stop_reading() override;
  void write(std::string_view octets) override { write_all({octets}); }
  void write_all(std::initializer_list<std::string_view> pieces) override;
  void write_through(std::string_view octets) override;
  void splice_to(Stream& target) override;
  void finish() override;
  size_t unsent() const override { return in_flight_ + (pipe_ ? pipe_->size() : 0) + out_.size(); }
  void abort() override { aborted_ = true; }
  const PeerFacts& peer() const override { return peer_; }
  PeerFacts ends() const override;
  // The one at the other end of a proxy in front.
  void set_peer(PeerFacts peer) { peer_ = std::move(peer); }
  // Octets that a handler was given and that are another one's: they come first again. Only with reading
  // stopped.
  void put_back(std::string_view octets) { held_.append(octets); }

  // For a hand-over to another loop: a duplicate of the descriptor; this stream is aborted. Nothing may be
  // unsent but what this turn has written and the kernel takes now.
  int release();
  EventLoop& loop() { return loop_; }
  SocketKind kind() const { return kind_; }
  Side side() const { return side_; }
  bool lost() const { return !lost_reason_.empty(); }
  // TLS appends its records here instead of copying once more; the caller calls wrote() when it is done.
  std::string& output();
  void wrote();

 private:
  friend struct Socket;
  void flush() override;
  void run() override;  // what no event announces: octets put back, a failed write
  void fail(const std::string& reason);
  bool wants_more() const;
  void poll();
  void check_drained();
  void read();
  bool splice();
  size_t take_spliced(TcpStream& from, size_t most);
  void end_splicing();
  void flush_pipe();
  void flush_output();
  void drop_pipe();
  void wake_source();
  void send_later(std::string octets);
  ssize_t send_now(std::string_view octets);
  void write_done(int status);
  void shut_down_if_due();

  EventLoop& loop_;
  Socket* socket_;
  int fd_ = -1;  // the socket's
  SocketKind kind_;
  Side side_;
  StreamHandler* handler_ = nullptr;
  PeerFacts peer_;
  // What waits goes out in this order: what libuv has (in_flight_), what is in the pipe, out_. There is a
  // pipe only as long as there is something in it, and something in flight, which tells when there is room.
  std::unique_ptr<Pipe> pipe_;
  std::string out_;
  std::string held_;  // put back
  size_t in_flight_ = 0;
  TcpStream* target_ = nullptr;  // splice_to()
  TcpStream* source_ = nullptr;  // whose target this is
  // The last chunk was as large as it could be: more is to be spliced, as soon as the target has taken all.
  bool in_run_ = false;
  bool reading_ = false;  // as asked for
  bool above_ = false;    // unsent() has been above the low mark since the last on_drained()
  bool eof_ = false;
  bool aborted_ = false;
  bool lost_told_ = false;
  bool finishing_ = false;
  std::string lost_reason_;
};

}  // namespace imapmux::net
