// When a server is passed over, down, up again, and worth a check.
#include "backend/server_health.h"

#include <gtest/gtest.h>

namespace imapmux::backend {
namespace {

using base::Instant;
using base::Millis;
using Standing = ServerHealth::Standing;
using Change = ServerHealth::Change;

Instant at(int seconds) {
  return Instant(Millis(1'000'000 + 1'000 * seconds));
}

const ServerHealth::Rules kRules =
    config::HealthCheck{.interval = Millis(10'000), .timeout = Millis(5'000), .fall = 3, .rise = 2};
const ServerHealth::Rules kOff;

TEST(ServerHealth, AFailureMakesItBePassedOverForAMoment) {
  for (const auto& rules : {kRules, kOff}) {
    ServerHealth health;
    EXPECT_EQ(health.standing(at(0)), Standing::kUp);
    EXPECT_EQ(health.failed(at(0), rules), Change::kNone);
    EXPECT_EQ(health.standing(at(0)), Standing::kPassedOver);
    EXPECT_EQ(health.standing(at(1)), Standing::kUp);
    health.failed(at(1), rules);
    EXPECT_EQ(health.standing(at(2)), Standing::kPassedOver) << "2 s now";
    health.succeeded(at(2), rules);
    EXPECT_EQ(health.standing(at(2)), Standing::kUp);
  }
}

TEST(ServerHealth, FailuresInSoManyIntervalsMakeItBeDown) {
  ServerHealth health;
  EXPECT_EQ(health.failed(at(0), kRules), Change::kNone);
  EXPECT_EQ(health.failed(at(10), kRules), Change::kNone);
  EXPECT_EQ(health.failed(at(20), kRules), Change::kDown);
  EXPECT_EQ(health.failed(at(30), kRules), Change::kNone) << "it is told once";
  EXPECT_EQ(health.standing(at(1000)), Standing::kDown);
}

TEST(ServerHealth, ManyFailuresAtOnceAreARestartAndCountAsOne) {
  ServerHealth health;
  for (int i = 0; i < 50; ++i) EXPECT_EQ(health.failed(at(i / 10), kRules), Change::kNone);
  EXPECT_NE(health.standing(at(100)), Standing::kDown);
}

TEST(ServerHealth, ASuccessBeginsTheCountAnew) {
  ServerHealth health;
  health.failed(at(0), kRules);
  health.failed(at(10), kRules);
  health.succeeded(at(15), kRules);
  EXPECT_EQ(health.failed(at(20), kRules), Change::kNone);
  EXPECT_EQ(health.failed(at(30), kRules), Change::kNone);
  EXPECT_EQ(health.failed(at(40), kRules), Change::kDown);
}

TEST(ServerHealth, SoManySuccessesInARowBringItBack) {
  ServerHealth health;
  for (const int second : {0, 10, 20}) health.failed(at(second), kRules);
  EXPECT_EQ(health.succeeded(at(30), kRules), Change::kNone);
  health.failed(at(40), kRules);
  EXPECT_EQ(health.succeeded(at(50), kRules), Change::kNone);
  EXPECT_EQ(health.standing(at(50)), Standing::kDown);
  EXPECT_EQ(health.succeeded(at(60), kRules), Change::kUp);
  EXPECT_EQ(health.standing(at(60)), Standing::kUp);
}

TEST(ServerHealth, WithoutChecksItIsNeverDown) {
  ServerHealth health;
  for (int second = 0; second < 1000; second += 10) EXPECT_EQ(health.failed(at(second), kOff), Change::kNone);
  EXPECT_EQ(health.standing(at(1030)), Standing::kUp);
}

TEST(ServerHealth, WhatChecksFoundIsForgottenWithThem) {
  ServerHealth health;
  for (const int second : {0, 10, 20}) health.failed(at(second), kRules);
  health.forget();
  EXPECT_EQ(health.standing(at(100)), Standing::kUp);
  EXPECT_EQ(health.failed(at(100), kRules), Change::kNone);
}

TEST(ServerHealth, TrafficLeavesNoDoubtButAFailureAndADownServerDo) {
  const Millis quiet(10'000);
  ServerHealth health;
  EXPECT_TRUE(health.in_doubt(at(0), quiet)) << "nothing was heard yet";
  health.heard(at(0));
  EXPECT_FALSE(health.in_doubt(at(9), quiet));
  EXPECT_TRUE(health.in_doubt(at(10), quiet));
  health.succeeded(at(10), kRules);
  EXPECT_FALSE(health.in_doubt(at(19), quiet));
  health.failed(at(19), kRules);
  health.heard(at(19));
  EXPECT_TRUE(health.in_doubt(at(19), quiet)) << "old connections answer, a new one was refused";
  health.succeeded(at(19), kRules);
  EXPECT_FALSE(health.in_doubt(at(19), quiet));
  for (const int second : {20, 30, 40}) health.failed(at(second), kRules);
  health.succeeded(at(50), kRules);
  EXPECT_TRUE(health.in_doubt(at(50), quiet)) << "one success is not enough";
}

}  // namespace
}  // namespace imapmux::backend
