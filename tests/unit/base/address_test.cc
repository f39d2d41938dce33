#include "base/address.h"

#include <gtest/gtest.h>

namespace imapmux::base {
namespace {

std::string endpoint(std::string_view text, uint16_t default_port = 0) {
  const auto parsed = parse_endpoint(text, default_port);
  return parsed ? parsed->to_string() : "nothing";
}

TEST(Endpoint, ReadsAndPrints) {
  for (const std::string text : {"127.0.0.1:143", "[::]:993", "[2001:db8::1]:1", "old-1.example.org:65535",
                                 ":143", "127.0.0.1:0", "unix:/run/imapmux/imap.sock", "under_score:1"}) {
    EXPECT_EQ(text, endpoint(text));
  }
}

TEST(Endpoint, TakesTheDefaultPort) {
  EXPECT_EQ("old:143", endpoint("old", 143));
  EXPECT_EQ("[::1]:143", endpoint("[::1]", 143));
  EXPECT_EQ("old:99", endpoint("old:99", 143));
  EXPECT_EQ("old:0", endpoint("old:0", 143));
  EXPECT_EQ("nothing", endpoint("old"));
}

TEST(Endpoint, RefusesWhatIsAmbiguousOrWrong) {
  for (const std::string_view text : {"",
                                      ":",
                                      "host:",
                                      "host:x",
                                      "host:65536",
                                      "host:+1",
                                      "host:-1",
                                      "host: 1",
                                      "host:1 ",
                                      "::1:143",
                                      "::1",
                                      "[::1]",
                                      "[::1",
                                      "[::1]x",
                                      "[::1]143",
                                      "[127.0.0.1]:143",
                                      "[host]:1",
                                      "[]:1",
                                      "a b:1",
                                      "-a:1",
                                      ".a:1",
                                      "*:143",
                                      "unix:",
                                      "unix:relative",
                                      "host:000001",
                                      "a/b:1",
                                      "http://a:1"}) {
    EXPECT_EQ("nothing", endpoint(text)) << text;
  }
  EXPECT_EQ("nothing", endpoint("unix:/" + std::string(107, 'a')));
  EXPECT_NE("nothing", endpoint("unix:/" + std::string(106, 'a')));
  EXPECT_EQ("nothing", endpoint(std::string("a\0b:1", 5)));
  EXPECT_EQ("nothing", endpoint(std::string(254, 'a') + ":1"));
}

TEST(Endpoint, KnowsLoopback) {
  for (const std::string_view text :
       {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "LocalHost:1", "unix:/a", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(parse_endpoint(text)->is_loopback()) << text;
  }
  for (const std::string_view text :
       {"0.0.0.0:1", "[::]:1", ":1", "192.0.2.1:1", "localhost.example.org:1"}) {
    EXPECT_FALSE(parse_endpoint(text)->is_loopback()) << text;
  }
}

TEST(IpAddress, BothKindsCompareAsOne) {
  EXPECT_EQ(IpAddress::parse("192.0.2.7"), IpAddress::parse("::ffff:192.0.2.7"));
  EXPECT_EQ("192.0.2.7", IpAddress::parse("::ffff:192.0.2.7")->to_string());
  EXPECT_EQ("2001:db8::1", IpAddress::parse("2001:0DB8:0::1")->to_string());
  EXPECT_TRUE(IpAddress::parse("10.0.0.1")->is_v4());
  EXPECT_FALSE(IpAddress::parse("::1")->is_v4());
  EXPECT_TRUE(IpAddress::parse("::1")->is_loopback());
  EXPECT_FALSE(IpAddress::parse("::")->is_loopback());
  EXPECT_EQ(*IpAddress::parse("10.1.2.3"), IpAddress::from_bytes(IpAddress::parse("10.1.2.3")->bytes()));
}

TEST(IpAddress, RefusesOtherText) {
  for (const std::string_view text : {"", "localhost", "1.2.3", "1.2.3.4.5", "256.0.0.1", "1.2.3.4 ", "::g",
                                      "fe80::1%eth0", "01.2.3.4", "[::1]"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string("1.2.3.4\0", 8)));
}

bool contains(std::string_view network, std::string_view address) {
  return Network::parse(network)->contains(*IpAddress::parse(address));
}

TEST(Network, ContainsItsAddresses) {
  EXPECT_TRUE(contains("10.0.0.0/8", "10.255.0.1"));
  EXPECT_TRUE(contains("10.0.0.0/8", "::ffff:10.0.0.1"));
  EXPECT_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(contains("0.0.0.0/0", "203.0.113.9"));
  EXPECT_FALSE(contains("0.0.0.0/0", "2001:db8::1"));
  EXPECT_TRUE(contains("::/0", "10.0.0.1"));
  EXPECT_TRUE(contains("192.0.2.128/25", "192.0.2.200"));
  EXPECT_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(contains("fd00::/8", "fdab::1"));
  EXPECT_FALSE(contains("fd00::/8", "fc00::1"));
  EXPECT_TRUE(contains("192.0.2.1", "192.0.2.1"));
  EXPECT_FALSE(contains("192.0.2.1", "192.0.2.2"));
}

TEST(Network, ReadsAndPrints) {
  const std::pair<std::string_view, std::string_view> cases[] = {{"10.1.2.3/8", "10.0.0.0/8"},
                                                                 {"10.0.0.1/32", "10.0.0.1"},
                                                                 {"::1", "::1"},
                                                                 {"fd00::1/8", "fd00::/8"},
                                                                 {"::/0", "::/0"},
                                                                 {"0.0.0.0/0", "0.0.0.0/0"}};
  for (const auto& [text, printed] : cases) EXPECT_EQ(printed, Network::parse(text)->to_string());
  for (const std::string_view text : {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1",
                                      "10.0.0.0/8/8", "10.0.0.0/ 8", "name/8"}) {
    EXPECT_FALSE(Network::parse(text)) << text;
  }
}

TEST(IpAddress, APartyIsAnAddressOrAnIpv6Network) {
  const auto party = [](std::string_view text) { return IpAddress::parse(text)->party(); };
  EXPECT_EQ(party("192.0.2.7"), party("::ffff:192.0.2.7"));
  EXPECT_NE(party("192.0.2.7"), party("192.0.2.8"));
  EXPECT_EQ(party("2001:db8:1:2:3:4:5:6"), party("2001:db8:1:2::"));
  EXPECT_NE(party("2001:db8:1:2::"), party("2001:db8:1:3::"));
  EXPECT_NE(party("::"), party("0.0.0.0"));
}

}  // namespace
}  // namespace imapmux::base
