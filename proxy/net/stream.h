// A connection as sessions see it: octets in by callback, octets out gathered. TCP, unix socket, TLS, or a
// memory stream in a simulation. Belongs to one session or connection, on its loop's thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/address.h"

namespace imapmux::net {

enum class Side : uint8_t { kClient, kBackend };

// The end of a connection, thrown at whoever waits for it and caught at the root of its session.
class ConnectionLost : public std::runtime_error {
 public:
  ConnectionLost(Side side, const std::string& reason) : std::runtime_error(reason), side_(side) {}
  Side side() const { return side_; }

 private:
  Side side_;
};

// What is known of the other end. Copied to where it is needed.
struct PeerFacts {
  std::optional<base::IpAddress> address;  // nothing for unix sockets
  uint16_t port = 0;
  bool tls = false;
  std::string sni;  // the name the client asked for; empty: none
  // A proxy in front did not say who the client is: the address is the proxy's own.
  bool origin_unknown = false;
  // Where it connected to. Known from the beginning only if a PROXY header told; else see Stream::ends().
  std::optional<base::IpAddress> local_address = std::nullopt;
  uint16_t local_port = 0;
  bool told_by_proxy = false;  // a PROXY header named both ends
  bool is_loopback() const { return !origin_unknown && (!address || address->is_loopback()); }
  std::string to_string() const;  // "192.0.2.7:50123", "unix"
};

// Callbacks come from the loop, never from inside a call to the stream. A handler must not destroy the stream
// from inside a callback; it leaves that to a task, which runs when the callback has ended.
class StreamHandler {
 public:
  // `chunk` is valid until this returns.
  virtual void on_data(std::string_view chunk) noexcept = 0;
  // So many octets went where Stream::splice_to() says, unseen.
  virtual void on_spliced(size_t) noexcept {}
  // The peer has finished sending; it may still read.
  virtual void on_eof() noexcept = 0;
  // Reset, broken pipe, TLS failure: nothing more comes or goes. The last callback.
  virtual void on_lost(const std::string& reason) noexcept = 0;
  // unsent() fell to kLowWatermark or below after it had been above.
  virtual void on_drained() noexcept {}

 protected:
  ~StreamHandler() = default;
};

class Stream {
 public:
  // Who writes pauses its source above the high mark until on_drained() (octets).
  static constexpr size_t kHighWatermark = 256 * 1024;
  static constexpr size_t kLowWatermark = 32 * 1024;

  // Sends what was written, then closes: the peer gets it even if it goes on sending. Calls no handler any
  // more.
  virtual ~Stream() = default;
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Nothing is delivered without a handler; what arrives meanwhile waits. nullptr takes it away.
  virtual void set_handler(StreamHandler* handler) = 0;
  // Idempotent. A stopped reader does not notice a reset: stop above watermarks only.
  virtual void start_reading() = 0;
  virtual void stop_reading() = 0;
  // Gathered, and sent at the end of the loop's turn. After the connection is lost: dropped.
  virtual void write(std::string_view octets) = 0;
  // The same, of several pieces.
  virtual void write_all(std::initializer_list<std::string_view> pieces) {
    for (const auto piece : pieces) write(piece);
  }
  // Sent at once if nothing is waiting: for relays, where a turn writes once.
  virtual void write_through(std::string_view octets) = 0;
  // For relays that hand all they get to write_through() of `target`: of a long run of octets most may go
  // there inside the kernel, and the handler is only told how many (on_spliced). It sees where a run ends, at
  // least kSeen octets of it. Ends with either of the two. Of no effect where that is not possible.
  virtual void splice_to(Stream& target) { static_cast<void>(target); }
  static constexpr size_t kSeen = 256;
  // Half-closes behind what was written: the peer sees the end, and may still send.
  virtual void finish() = 0;
  // Octets written that the kernel has not taken yet.
  virtual size_t unsent() const = 0;
  // The destructor closes at once instead of sending the rest.
  virtual void abort() = 0;
  virtual const PeerFacts& peer() const = 0;
  // The same with the address that the peer connected to, which costs a system call.
  virtual PeerFacts ends() const { return peer(); }
};

}  // namespace imapmux::net
