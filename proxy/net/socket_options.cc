#include "net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <cstring>

namespace imapmux::net {

void set_tcp_options(int fd, base::Millis keepalive) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int probes = keepalive.count() > 0 ? 1 : 0;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &probes, sizeof probes);
  if (!probes) return;
  const int idle = static_cast<int>((keepalive.count() + 999) / 1000);
  const int between_probes = 1;  // nine of them
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_probes, sizeof between_probes);
}

PeerFacts peer_at(const sockaddr_storage& address) {
  PeerFacts facts;
  if (address.ss_family == AF_UNIX) return facts;
  std::array<uint8_t, 16> bytes{};
  if (address.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address);
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(&bytes[12], &v4->sin_addr, 4);
    facts.port = ntohs(v4->sin_port);
  } else {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address);
    std::memcpy(bytes.data(), &v6->sin6_addr, 16);
    facts.port = ntohs(v6->sin6_port);
  }
  facts.address = base::IpAddress::from_bytes(bytes);
  return facts;
}

void add_local_address(PeerFacts& facts, int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (facts.local_address || getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return;
  const auto own = peer_at(address);
  facts.local_address = own.address;
  facts.local_port = own.port;
}

}  // namespace imapmux::net
