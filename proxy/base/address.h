// Addresses as the configuration and the peers write them. No resolving, no sockets.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imapmux::base {

// "host:port", "[v6]:port", ":port" or "unix:/path".
struct Endpoint {
  std::string host;  // name or numeric address without brackets; empty for a unix socket
  uint16_t port = 0;
  std::string path;  // of a unix socket; empty otherwise
  bool is_unix() const { return !path.empty(); }
  std::string to_string() const;
  // True for 127.0.0.0/8, ::1, "localhost" and unix sockets.
  bool is_loopback() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// `default_port` 0: the port must be there. Port 0 itself is allowed ("any free port", for tests).
std::optional<Endpoint> parse_endpoint(std::string_view text, uint16_t default_port = 0);

// An IPv4 or IPv6 address; IPv4 is kept as the mapped IPv6 address, so that both compare as one kind.
class IpAddress {
 public:
  static std::optional<IpAddress> parse(std::string_view text);
  static IpAddress from_bytes(const std::array<uint8_t, 16>& mapped);
  bool is_v4() const;
  bool is_loopback() const;
  std::string to_string() const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  // What limits and delays per address count by: an IPv4 address, or the /64 network of an IPv6 address,
  // since whoever has one of its addresses has all of them. Octets; keys of both kinds are never equal.
  std::string party() const;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<uint8_t, 16> bytes_{};
};

// "10.0.0.0/8", "fd00::/8", or a single address.
class Network {
 public:
  static std::optional<Network> parse(std::string_view text);
  bool contains(const IpAddress& address) const;
  std::string to_string() const;
  friend bool operator==(const Network&, const Network&) = default;

 private:
  IpAddress address_;
  int prefix_ = 128;  // of the mapped address
};

bool any_contains(const std::vector<Network>& networks, const IpAddress& address);

}  // namespace imapmux::base
