// What servers are told of the client that a connection is opened for.
#include "backend/origin.h"

#include <gtest/gtest.h>

namespace imapmux::backend {
namespace {

using config::SendProxy;
using namespace std::string_literals;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

Origin from(const char* client, const char* local) {
  Origin origin{{}, "a7"};
  origin.client.address = base::IpAddress::parse(client);
  origin.client.port = 50123;
  origin.client.local_address = base::IpAddress::parse(local);
  origin.client.local_port = 143;
  return origin;
}

TEST(ProxyHeaderOfAnOrigin, NamesBothEnds) {
  const auto origin = from("192.0.2.7", "198.51.100.1");
  EXPECT_EQ(proxy_header(SendProxy::kNone, origin), "");
  EXPECT_EQ(proxy_header(SendProxy::kV1, origin), "PROXY TCP4 192.0.2.7 198.51.100.1 50123 143\r\n");
  EXPECT_EQ(proxy_header(SendProxy::kV2, origin),
            kSignature + "\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xc3\xcb\0\x8f"s);
}

TEST(ProxyHeaderOfAnOrigin, OfTheProxyItself) {
  EXPECT_EQ(proxy_header(SendProxy::kNone, std::nullopt), "");
  EXPECT_EQ(proxy_header(SendProxy::kV1, std::nullopt), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(proxy_header(SendProxy::kV2, std::nullopt), kSignature + "\x20\0\0\0"s) << "LOCAL";
}

TEST(ProxyHeaderOfAnOrigin, OfAClientThatNobodyKnows) {
  auto origin = from("192.0.2.7", "198.51.100.1");
  origin.client.origin_unknown = true;
  EXPECT_EQ(proxy_header(SendProxy::kV1, origin), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(proxy_header(SendProxy::kV2, origin), kSignature + "\x21\0\0\0"s);
}

TEST(ProxyHeaderOfAnOrigin, OfAUnixSocket) {
  const Origin origin{{}, "a7"};
  EXPECT_EQ(proxy_header(SendProxy::kV1, origin), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(proxy_header(SendProxy::kV2, origin), kSignature + "\x21\x31\0\xd8"s + std::string(216, '\0'));
}

TEST(ClientId, SaysItInDovecotsWords) {
  EXPECT_EQ(
      id_command(from("2001:db8::7", "2001:db8::1")),
      "ID (\"x-session-id\" \"a7\" \"x-originating-ip\" \"2001:db8::7\" \"x-originating-port\" \"50123\" "
      "\"x-connected-ip\" \"2001:db8::1\" \"x-connected-port\" \"143\")");
  EXPECT_EQ(id_command({{}, "a7"}), "ID (\"x-session-id\" \"a7\")") << "a unix socket";
}

}  // namespace
}  // namespace imapmux::backend
