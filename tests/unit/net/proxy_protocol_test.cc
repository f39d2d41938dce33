// The PROXY header, versions 1 and 2: fed in every split; and how it is read from a stream.
#include "net/proxy_protocol.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "net/proxy_header.h"
#include "support/loop_driver.h"
#include "unit/wire/every_split.h"

namespace imapmux::net {
namespace {

using namespace std::string_literals;
using base::Millis;
using Origin = ProxyHeader::Origin;
using Event = ProxyHeaderParser::Event;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string length(size_t size) {
  return {static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
}

// A header of version 2.
std::string binary(uint8_t command, uint8_t family, const std::string& block) {
  return kSignature + std::string{static_cast<char>(command), static_cast<char>(family)} +
         length(block.size()) + block;
}

std::string field(uint8_t type, const std::string& value) {
  return std::string(1, static_cast<char>(type)) + length(value.size()) + value;
}

const std::string kIpv4 = "\xc0\x00\x02\x07\x0a\x00\x00\x01\xc3\x50\x00\x8f"s;  // 192.0.2.7:50000 to :143

std::string outcome(const std::vector<std::string_view>& chunks) {
  ProxyHeaderParser parser;
  std::string rest;
  auto event = Event::kNeedMore;
  for (auto chunk : chunks) {
    if (event == Event::kNeedMore) event = parser.next(chunk);
    rest += chunk;
  }
  if (event == Event::kNeedMore) return "needs more" + rest;
  if (event == Event::kMalformed) return parser.problem();  // how much was taken by then is nobody's concern
  const auto& header = parser.header();
  switch (header.origin) {
    case Origin::kAddress:
      return header.address.to_string() + " " + std::to_string(header.port) + "|" + rest;
    case Origin::kUnixSocket:
      return "unix|" + rest;
    case Origin::kProxy:
      return "local|" + rest;
    case Origin::kUnknown:
      return "unknown|" + rest;
  }
  return "";
}

std::string parse(std::string_view input) {
  return wire::every_split(input, outcome);
}

TEST(ProxyProtocol, Version1SaysWhoTheClientIs) {
  EXPECT_EQ(parse("PROXY TCP4 192.0.2.7 10.0.0.1 50000 143\r\na1 NOOP\r\n"), "192.0.2.7 50000|a1 NOOP\r\n");
  EXPECT_EQ(parse("PROXY TCP6 2001:db8::7 ::1 65535 0\r\n\x16\x03\x01"), "2001:db8::7 65535|\x16\x03\x01");
  EXPECT_EQ(parse("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 143\r\n"), "192.0.2.7 1|");
  EXPECT_EQ(parse("PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\nPROXY "), "127.0.0.1 1|PROXY ") << "one is enough";
}

// What is written is read as the same, and as octets that others have written in the specification.
std::string written(const ProxyHeader& header, ProxyHeaderVersion version) {
  const auto octets = write_proxy_header(header, version);
  EXPECT_LE(octets.size(), version == ProxyHeaderVersion::kText ? ProxyHeaderParser::kMostText : 300);
  ProxyHeaderParser parser;
  std::string_view rest = octets;
  EXPECT_EQ(parser.next(rest), Event::kDone) << parser.problem();
  EXPECT_EQ(rest, "");
  const auto& read = parser.header();
  const bool same = read.origin == header.origin && read.address == header.address &&
                    read.port == header.port && read.local_address == header.local_address &&
                    read.local_port == header.local_port;
  return (same ? "" : "not the same: ") + octets;
}

ProxyHeader between(const char* client, uint16_t port, const char* local, uint16_t local_port) {
  return {Origin::kAddress, *base::IpAddress::parse(client), port, *base::IpAddress::parse(local),
          local_port};
}

TEST(ProxyProtocol, WhatIsWrittenAsVersion1) {
  constexpr auto kText = ProxyHeaderVersion::kText;
  EXPECT_EQ(written(between("192.0.2.7", 50000, "10.0.0.1", 143), kText),
            "PROXY TCP4 192.0.2.7 10.0.0.1 50000 143\r\n");
  EXPECT_EQ(written(between("2001:db8::7", 65535, "::1", 0), kText),
            "PROXY TCP6 2001:db8::7 ::1 65535 0\r\n");
  EXPECT_EQ(written(between("192.0.2.7", 1, "::1", 143), kText), "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 143\r\n");
  EXPECT_EQ(written({}, kText), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(write_proxy_header({.origin = Origin::kProxy, .address = {}, .local_address = {}}, kText),
            "PROXY UNKNOWN\r\n");
}

TEST(ProxyProtocol, WhatIsWrittenAsVersion2) {
  constexpr auto kBinary = ProxyHeaderVersion::kBinary;
  EXPECT_EQ(written(between("192.0.2.7", 50000, "10.0.0.1", 143), kBinary), binary(0x21, 0x11, kIpv4));
  const auto v6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x07"s;
  const auto loopback = std::string(15, '\0') + "\x01"s;
  EXPECT_EQ(written(between("2001:db8::7", 50000, "::1", 143), kBinary),
            binary(0x21, 0x21, v6 + loopback + "\xc3\x50\x00\x8f"s));
  const auto mapped = std::string(10, '\0') + "\xff\xff\xc0\x00\x02\x07"s;
  EXPECT_EQ(written(between("192.0.2.7", 50000, "::1", 143), kBinary),
            binary(0x21, 0x21, mapped + loopback + "\xc3\x50\x00\x8f"s));
  EXPECT_EQ(written({}, kBinary), binary(0x21, 0x00, ""));
  EXPECT_EQ(written({.origin = Origin::kProxy, .address = {}, .local_address = {}}, kBinary),
            binary(0x20, 0x00, ""));
  EXPECT_EQ(written({.origin = Origin::kUnixSocket, .address = {}, .local_address = {}}, kBinary),
            binary(0x21, 0x31, std::string(216, '\0')));
}

TEST(ProxyProtocol, Version1UnknownIsFollowedByAnything) {
  EXPECT_EQ(parse("PROXY UNKNOWN\r\nx"), "unknown|x");
  EXPECT_EQ(parse("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "unknown|");
}

TEST(ProxyProtocol, Version1IsReadStrictly) {
  const std::string no_address = "PROXY header: not an address or a port";
  for (const char* line :
       {"PROXY TCP4 192.0.2.7 10.0.0.1 50000 65536\r\n", "PROXY TCP4 192.0.2.7 10.0.0.1 050 143\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 -1 143\r\n", "PROXY TCP4 192.0.2.7 10.0.0.1  143\r\n",
        "PROXY TCP4 192.0.2 10.0.0.1 50000 143\r\n", "PROXY TCP4 2001:db8::7 ::1 50000 143\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 50000 143\r\n", "PROXY TCP4 192.0.2.7 mail 50000 143\r\n"})
    EXPECT_EQ(parse(line), no_address) << line;
  const std::string count = "PROXY header: two addresses and two ports are expected";
  EXPECT_EQ(parse("PROXY TCP4\r\n"), count);
  EXPECT_EQ(parse("PROXY TCP4 192.0.2.7 10.0.0.1 50000\r\n"), count);
  EXPECT_EQ(parse("PROXY TCP4 192.0.2.7 10.0.0.1 50000 143 \r\n"), count);
  EXPECT_EQ(parse("PROXY UDP4 192.0.2.7 10.0.0.1 50000 143\r\n"), "PROXY header: an unknown protocol");
  EXPECT_EQ(parse("PROXY UNKNOWNS\r\n"), "PROXY header: an unknown protocol");
  EXPECT_EQ(parse("PROXY UNKNOWN\n"), "PROXY header: a bare line feed");
}

TEST(ProxyProtocol, Version1HasAtMost107Octets) {
  const std::string start = "PROXY UNKNOWN ";
  const auto line = [&](size_t size) { return start + std::string(size - start.size() - 2, 'x') + "\r\n"; };
  EXPECT_EQ(parse(line(107) + "a"), "unknown|a");
  EXPECT_EQ(parse(line(108)), "PROXY header: too long");
  EXPECT_EQ(parse(start + std::string(5000, 'x')), "PROXY header: too long");
}

TEST(ProxyProtocol, WhatIsNoHeaderIsKnownAtItsFirstWrongOctet) {
  EXPECT_EQ(parse("a"), "no PROXY header came");
  EXPECT_EQ(parse("PROXX"), "no PROXY header came");
  EXPECT_EQ(parse("\x16\x03\x01"), "no PROXY header came");
  EXPECT_EQ(parse("\r\n\r\nQ"), "no PROXY header came");
  EXPECT_EQ(parse("PROXY\tTCP4"), "no PROXY header came");
  EXPECT_EQ(parse(""), "needs more");
  EXPECT_EQ(parse("PROXY TCP4 192.0.2.7 10.0.0.1 50000 143\r"), "needs more");
  EXPECT_EQ(parse(kSignature), "needs more");
}

TEST(ProxyProtocol, Version2SaysWhoTheClientIs) {
  EXPECT_EQ(parse(binary(0x21, 0x11, kIpv4) + "a1 NOOP\r\n"), "192.0.2.7 50000|a1 NOOP\r\n");
  const auto ipv6 =
      "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\7" + std::string(15, '\0') + "\1" + "\x00\x19\x00\x8f"s;
  EXPECT_EQ(parse(binary(0x21, 0x21, ipv6) + "x"), "2001:db8::7 25|x");
  EXPECT_EQ(parse(binary(0x21, 0x31, "/run/client" + std::string(205, '\0')) + "x"), "unix|x");
  EXPECT_EQ(parse(binary(0x21, 0x00, "") + "x"), "unknown|x");
}

TEST(ProxyProtocol, Version2LocalIsTheProxyWhateverElseItSays) {
  EXPECT_EQ(parse(binary(0x20, 0x00, "") + "x"), "local|x");
  EXPECT_EQ(parse(binary(0x20, 0x11, kIpv4) + "x"), "local|x");
  EXPECT_EQ(parse(binary(0x20, 0xff, "what") + "x"), "local|x");
}

TEST(ProxyProtocol, Version2FieldsAreSkippedIfTheyFillTheHeader) {
  const auto alpn = field(0x01, "imap");
  const auto authority = field(0x02, "mail.example.org");
  EXPECT_EQ(parse(binary(0x21, 0x11, kIpv4 + alpn + authority + field(0x04, "")) + "x"), "192.0.2.7 50000|x");
  EXPECT_EQ(parse(binary(0x21, 0x00, authority) + "x"), "unknown|x");
  const std::string broken = "PROXY header: its fields do not fill it";
  EXPECT_EQ(parse(binary(0x21, 0x11, kIpv4 + alpn + "\x01")), broken);
  EXPECT_EQ(parse(binary(0x21, 0x11, kIpv4 + "\x01\x00\x05imap"s)), broken);
  EXPECT_EQ(parse(binary(0x21, 0x11, kIpv4 + field(0x03, "123"))), broken);
}

TEST(ProxyProtocol, Version2ChecksumIsChecked) {
  // CRC-32C of the header with zeroes in its place, reckoned apart from this program.
  const auto with = [](const std::string& sum) {
    return binary(0x21, 0x11, kIpv4 + field(0x03, sum) + field(0x04, "pad"));
  };
  EXPECT_EQ(parse(with("\x2e\x02\xaf\xb0"s) + "x"), "192.0.2.7 50000|x");
  EXPECT_EQ(parse(with("\0\0\0\0"s) + "x"), "PROXY header: a wrong checksum");
}

TEST(ProxyProtocol, Version2IsReadStrictly) {
  const std::string command = "PROXY header: an unknown version or command";
  EXPECT_EQ(parse(binary(0x11, 0x11, kIpv4)), command);
  EXPECT_EQ(parse(binary(0x22, 0x11, kIpv4)), command);
  EXPECT_EQ(parse(binary(0x31, 0x11, kIpv4)), command);
  for (const uint8_t family : {0x01, 0x12, 0x10, 0x22, 0x32, 0x41})
    EXPECT_EQ(parse(binary(0x21, family, std::string(216, '\0'))),
              "PROXY header: neither TCP nor a unix socket");
  const std::string short_of = "PROXY header: too short for its addresses";
  EXPECT_EQ(parse(binary(0x21, 0x11, kIpv4.substr(1))), short_of);
  EXPECT_EQ(parse(binary(0x21, 0x21, std::string(35, '\0'))), short_of);
  EXPECT_EQ(parse(binary(0x21, 0x31, std::string(215, '\0'))), short_of);
  EXPECT_EQ(parse(binary(0x21, 0x11, "")), short_of);
}

TEST(ProxyProtocol, Version2HasABound) {
  const auto filled = [](size_t size) {
    return kIpv4 + field(0x04, std::string(size - kIpv4.size() - 3, 'x'));
  };
  EXPECT_EQ(outcome({binary(0x21, 0x11, filled(4096)) + "x"}), "192.0.2.7 50000|x");
  EXPECT_EQ(outcome({binary(0x21, 0x11, filled(4097))}), "PROXY header: too long");
  EXPECT_EQ(outcome({kSignature + "\x20\x00\xff\xff"s}), "PROXY header: too long") << "also of LOCAL";
}

TEST(ProxyProtocol, GarbageIsTakenOctetByOctetOrAtOnce) {
  std::mt19937 random(7);
  const std::vector<std::string> words{"PROXY ", "TCP4 ", "TCP6 ", "UNKNOWN",  "192.0.2.7 ", "::1 ",
                                       "143 ",   "143",   "\r\n",  kSignature, "\x21",       "\x20",
                                       "\x11",   "\0"s,   "\x0c",  "\n"};
  for (int i = 0; i < 20'000; ++i) {
    std::string input;
    for (size_t left = random() % 9; left > 0; --left) input += words[random() % words.size()];
    const auto whole = outcome({input});
    std::vector<std::string_view> octets;
    for (size_t at = 0; at < input.size(); ++at) octets.push_back(std::string_view(input).substr(at, 1));
    ASSERT_EQ(outcome(octets), whole) << testing::PrintToString(input);
  }
}

// From a socket: `other` is the proxy in front.
struct ProxyHeaderTest : testing::Test {
  ProxyHeaderTest() {
    auto [mine, theirs] = test::tcp_pair();
    other = std::move(theirs);
    stream = TcpStream::adopt(driver.loop, mine.release(), SocketKind::kTcp, Side::kClient, test::kLocalPeer);
  }
  void TearDown() override {
    stream->abort();
    stream.reset();
  }
  std::string receive() {
    std::string problem = "it did not end";
    driver.run_task(receive_into(problem));
    return problem;
  }
  async::Task<> receive_into(std::string& problem) {
    try {
      co_await receive_proxy_header(*stream);
      problem.clear();
    } catch (const ConnectionLost& lost) {
      problem = lost.what();
    }
  }

  test::LoopDriver driver;
  test::Fd other;
  std::unique_ptr<TcpStream> stream;
};

TEST_F(ProxyHeaderTest, ThePeerIsTheOneThatItNamesAndTheRestIsTheNextHandlers) {
  other.send("PROXY TCP4 192.0.2.7 10.0.0.1 50000 143\r\na1 NOOP\r\n");
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(stream->peer().to_string(), "192.0.2.7:50000");
  EXPECT_FALSE(stream->peer().is_loopback());
  other.send("a2 NOOP\r\n");
  test::Recorder recorder;
  driver.turn([&] {
    stream->set_handler(&recorder);
    stream->start_reading();
  });
  EXPECT_TRUE(driver.run_until([&] { return recorder.data.size() >= 18; }));
  EXPECT_EQ(recorder.data, "a1 NOOP\r\na2 NOOP\r\n");
  driver.turn([&] { stream->set_handler(nullptr); });
}

TEST_F(ProxyHeaderTest, AProxyThatDoesNotSayIsThePeerButNeverALocalClient) {
  ASSERT_TRUE(stream->peer().is_loopback());
  const auto own = stream->peer().to_string();
  other.send("PROXY UNKNOWN\r\n");
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(stream->peer().to_string(), own);
  EXPECT_FALSE(stream->peer().is_loopback());
}

TEST_F(ProxyHeaderTest, AHealthCheckIsTheProxyItself) {
  const auto own = stream->peer().to_string();
  other.send(binary(0x20, 0, ""));
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(stream->peer().to_string(), own);
  EXPECT_TRUE(stream->peer().is_loopback());
}

TEST_F(ProxyHeaderTest, AProxysUnixSocketIsLocal) {
  other.send(binary(0x21, 0x31, std::string(216, '\0')));
  EXPECT_EQ(receive(), "");
  EXPECT_EQ(stream->peer().to_string(), "unix");
}

TEST_F(ProxyHeaderTest, WithoutAHeaderTheConnectionIsLost) {
  other.send("a1 NOOP\r\n");
  EXPECT_EQ(receive(), "no PROXY header came");
}

TEST_F(ProxyHeaderTest, APeerThatGoesAwayHasSentNone) {
  other.send("PROXY TCP4 192.0");
  other.reset();
  EXPECT_EQ(receive(), "closed before the PROXY header");
}

}  // namespace
}  // namespace imapmux::net
