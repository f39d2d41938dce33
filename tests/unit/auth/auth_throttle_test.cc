#include "auth/auth_throttle.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace imapmux::auth {
namespace {

using base::Instant;
using base::IpAddress;
using base::Millis;

constexpr Millis kBase{2'000};
constexpr Instant kNow{Millis(1'000'000)};

class Throttle : public testing::Test {
 protected:
  int64_t failed(const char* address, std::string_view user, Instant now = kNow) {
    const auto parsed = address == nullptr ? std::nullopt : IpAddress::parse(address);
    return throttle_.failed(parsed, user, kBase, now).count();
  }

  AuthThrottle throttle_;
};

TEST_F(Throttle, GrowsToFifteenSeconds) {
  for (const int64_t delay : {2'000, 4'000, 6'000, 8'000, 10'000, 12'000, 14'000, 15'000, 15'000}) {
    EXPECT_EQ(delay, failed("192.0.2.1", "bob"));
  }
}

TEST_F(Throttle, NameAndAddressCountApart) {
  failed("192.0.2.1", "bob");
  failed("192.0.2.1", "ann");
  EXPECT_EQ(6'000, failed("192.0.2.1", "carl"));  // the address has three
  EXPECT_EQ(4'000, failed("192.0.2.2", "BOB"));   // the name has two
  EXPECT_EQ(2'000, failed("192.0.2.3", "dora"));
}

TEST_F(Throttle, WithoutAddressTheNameCounts) {
  EXPECT_EQ(2'000, failed(nullptr, "bob"));
  EXPECT_EQ(4'000, failed(nullptr, "bob"));
  EXPECT_EQ(2'000, failed(nullptr, "ann"));
}

TEST_F(Throttle, Ipv6CountsByNetwork) {
  failed("2001:db8::1", "a");
  EXPECT_EQ(4'000, failed("2001:db8::ffff:2", "b"));
  EXPECT_EQ(2'000, failed("2001:db8:0:1::1", "c"));
}

TEST_F(Throttle, SuccessForgets) {
  failed("192.0.2.1", "bob");
  failed("192.0.2.1", "bob");
  throttle_.succeeded(IpAddress::parse("192.0.2.1"), "Bob");
  EXPECT_EQ(2'000, failed("192.0.2.1", "bob"));
  throttle_.succeeded(std::nullopt, "nobody");
}

TEST_F(Throttle, WhoHasBeenHereBeforeFailsForHimselfOnly) {
  const auto home = IpAddress::parse("192.0.2.1");
  throttle_.succeeded(home, "bob");
  EXPECT_EQ(2'000, failed("192.0.2.1", "bob"));
  EXPECT_EQ(4'000, failed("192.0.2.1", "bob"));
  EXPECT_EQ(2'000, failed("192.0.2.9", "bob"));  // the name's first
}

TEST_F(Throttle, TheOwnersLoginsDoNotSetGuessersFree) {
  const auto home = IpAddress::parse("192.0.2.1");
  throttle_.succeeded(home, "bob");
  for (int i = 0; i < 3; ++i) failed("192.0.2.9", "bob");
  throttle_.succeeded(home, "bob");
  EXPECT_EQ(8'000, failed("192.0.2.9", "bob"));
  EXPECT_EQ(AuthThrottle::Standing::kSuspect, throttle_.standing(IpAddress::parse("192.0.2.7"), "bob"));
  EXPECT_EQ(AuthThrottle::Standing::kKnown, throttle_.standing(home, "bob"));
  // A right password from elsewhere does.
  throttle_.succeeded(IpAddress::parse("192.0.2.7"), "bob");
  EXPECT_EQ(AuthThrottle::Standing::kStranger, throttle_.standing(IpAddress::parse("192.0.2.8"), "bob"));
}

TEST_F(Throttle, WhatComesThroughWebmailIsNobodysInParticular) {
  throttle_.succeeded(std::nullopt, "bob");
  EXPECT_EQ(AuthThrottle::Standing::kStranger, throttle_.standing(std::nullopt, "bob"));
  EXPECT_EQ(2'000, failed(nullptr, "bob"));
  EXPECT_EQ(Millis(2'000), throttle_.hold(std::nullopt, "bob", kNow));
}

TEST_F(Throttle, AskingHowLongChangesNothing) {
  failed("192.0.2.1", "bob");
  const auto home = IpAddress::parse("192.0.2.1");
  const auto later = kNow + Millis(2'000);
  EXPECT_EQ(Millis(0), throttle_.hold(home, "bob", later));
  EXPECT_EQ(Millis(0), throttle_.hold(home, "bob", later));
  EXPECT_EQ(Millis(0), throttle_.admit(home, "bob", kBase, later));
  EXPECT_EQ(Millis(2'000), throttle_.hold(home, "bob", later));
}

TEST_F(Throttle, AnAttemptThatIsNotDecidedIsNeitherAFailureNorASuccess) {
  failed("192.0.2.1", "bob");
  const auto home = IpAddress::parse("192.0.2.1");
  const auto later = kNow + Millis(2'000);
  EXPECT_EQ(Millis(0), throttle_.admit(home, "bob", kBase, later));
  throttle_.not_decided(home, "bob");
  EXPECT_EQ(Millis(0), throttle_.admit(home, "bob", kBase, later));
  EXPECT_EQ(4'000, failed("192.0.2.1", "bob", later));
}

TEST_F(Throttle, TimeForgets) {
  failed("192.0.2.1", "bob");
  EXPECT_EQ(4'000, failed("192.0.2.1", "bob", kNow + Millis(15 * 60'000)));
  EXPECT_EQ(2'000, failed("192.0.2.1", "bob", kNow + Millis(31 * 60'000)));
}

TEST_F(Throttle, BaseMayBeZeroOrLong) {
  EXPECT_EQ(Millis(0), throttle_.failed(std::nullopt, "bob", Millis(0), kNow));
  EXPECT_EQ(Millis(15'000), throttle_.failed(std::nullopt, "ann", Millis(60'000), kNow));
}

TEST_F(Throttle, MemoryIsBounded) {
  for (int i = 0; i < 40'000; ++i) failed(nullptr, std::to_string(i) + std::string(200, 'x'));
  EXPECT_EQ(2'000, failed(nullptr, "0" + std::string(200, 'x')));      // gave way
  EXPECT_EQ(4'000, failed(nullptr, "39999" + std::string(200, 'x')));  // still known
}

TEST_F(Throttle, ManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 500; ++i) {
        failed("192.0.2.1", std::to_string(i % 7));
        if (i % 3 == t) throttle_.succeeded(IpAddress::parse("192.0.2.1"), std::to_string(i % 5));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace imapmux::auth
