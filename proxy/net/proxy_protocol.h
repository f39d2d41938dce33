// The header by which a proxy says to the next one, or to a server, who the client is: HAProxy's
// proxy-protocol.txt, versions 1 (text) and 2 (binary). No I/O: octets in, in pieces of any size, or octets
// out. A parser lives for as long as a connection's header takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace imapmux::net {

struct ProxyHeader {
  enum class Origin : uint8_t {
    kAddress,     // all below
    kUnixSocket,  // of the proxy's machine
    kProxy,       // the proxy itself, for a health check (LOCAL)
    kUnknown,     // the proxy does not say (UNKNOWN, AF_UNSPEC)
  };
  Origin origin = Origin::kUnknown;
  base::IpAddress address;  // the client's
  uint16_t port = 0;
  base::IpAddress local_address;  // where it connected to
  uint16_t local_port = 0;
};

enum class ProxyHeaderVersion : uint8_t { kText, kBinary };
// As octets. Version 1 says UNKNOWN of all but addresses.
std::string write_proxy_header(const ProxyHeader& header, ProxyHeaderVersion version);

class ProxyHeaderParser {
 public:
  enum class Event : uint8_t { kNeedMore, kDone, kMalformed };
  static constexpr size_t kMostText = 107;        // 2.1, with its line end
  static constexpr size_t kMostBinary = 4096;     // ours, behind the first 16 octets
  static constexpr size_t kBinaryStart = 12 + 4;  // signature, version, family, length

  // Takes the header's octets from the front of `chunk`, and none of those behind it. After kDone and
  // kMalformed it is not called again.
  Event next(std::string_view& chunk);
  const ProxyHeader& header() const { return header_; }
  const std::string& problem() const { return problem_; }

 private:
  Event look();
  Event look_at_text();
  Event look_at_binary();
  Event parse_text(std::string_view line);
  Event parse_binary();
  Event parse_addresses(uint8_t family, std::string_view block);
  Event malformed(std::string_view problem);

  std::string taken_;
  ProxyHeader header_;
  std::string problem_;
};

}  // namespace imapmux::net
