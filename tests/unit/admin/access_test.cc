// Who may see and do what at the admin endpoint.
#include "admin/access.h"

#include <gtest/gtest.h>

namespace imapmux::admin {
namespace {

Visit local() {
  return {.authorization = "",
          .host = "127.0.0.1:9143",
          .origin = "",
          .content_type = "application/json",
          .way = Way::kLoopback};
}

TEST(Access, WithoutATokenWhoeverIsOnThisHostMayLookAndAct) {
  EXPECT_EQ(may_look(local(), ""), Access::kGranted);
  EXPECT_EQ(may_act(local(), ""), Access::kGranted);
  for (const char* host : {"localhost:9143", "LOCALHOST", "[::1]:9143", "192.0.2.1", ""}) {
    auto visit = local();
    visit.host = host;
    EXPECT_EQ(may_look(visit, ""), Access::kGranted) << host;
  }
}

TEST(Access, ATokenIsShownWhole) {
  auto visit = local();
  for (const char* shown :
       {"", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret ", "Basic s3cret", "s3cret"}) {
    visit.authorization = shown;
    EXPECT_EQ(may_look(visit, "s3cret"), Access::kTokenMissing) << shown;
    EXPECT_EQ(may_act(visit, "s3cret"), Access::kTokenMissing) << shown;
  }
  visit.authorization = "bearer s3cret";  // RFC 7235, 2.1: the scheme's case does not count
  EXPECT_EQ(may_look(visit, "s3cret"), Access::kGranted);
  visit.authorization = "Bearer ";
  EXPECT_FALSE(shows_token(visit, ""));
}

TEST(Access, OnANetworkNobodyGetsInWithoutATokenAlsoIfAReloadHasTakenItAway) {
  auto visit = local();
  visit.way = Way::kNetwork;
  EXPECT_EQ(may_look(visit, ""), Access::kTokenMissing);
  EXPECT_EQ(may_act(visit, ""), Access::kTokenMissing);
}

TEST(Access, APageFromElsewhereMayNeitherLookNorActEvenWithTheToken) {
  auto visit = local();
  visit.authorization = "Bearer s3cret";
  for (const char* origin :
       {"http://evil.example", "null", "http://127.0.0.1:9144", "http://localhost:9143"}) {
    visit.origin = origin;
    EXPECT_EQ(may_act(visit, "s3cret"), Access::kForeignPage) << origin;
    EXPECT_EQ(may_look(visit, ""), Access::kForeignPage) << origin;
  }
  visit.origin = "http://127.0.0.1:9143";
  EXPECT_EQ(may_act(visit, "s3cret"), Access::kGranted);
}

TEST(Access, ANameThatAnybodyMayPointHereNeedsTheToken) {
  auto visit = local();
  for (const char* host : {"evil.example:9143", "127.0.0.1.evil.example", "localhost.evil.example"}) {
    visit.host = host;
    EXPECT_EQ(may_look(visit, ""), Access::kForeignPage) << host;
  }
  visit.host = "mail.example.org:9143";
  visit.authorization = "Bearer s3cret";
  EXPECT_EQ(may_look(visit, "s3cret"), Access::kGranted);
  visit.way = Way::kUnixSocket;  // no browser comes this way
  EXPECT_EQ(may_look(visit, ""), Access::kGranted);
}

TEST(Access, WhatAFormCanSendIsNoAction) {
  auto visit = local();
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                           "text/plain; application/json", "application/jsonx"}) {
    visit.content_type = type;
    EXPECT_EQ(may_act(visit, ""), Access::kNotJson) << type;
  }
  visit.content_type = "Application/JSON ; charset=utf-8";
  EXPECT_EQ(may_act(visit, ""), Access::kGranted);
}

TEST(Access, MetricsAreForEverybodyUnlessTheyHaveAToken) {
  auto visit = local();
  visit.way = Way::kNetwork;
  visit.host = "prometheus.example";
  EXPECT_EQ(may_scrape(visit, "", "s3cret"), Access::kGranted);
  EXPECT_EQ(may_scrape(visit, "m3trics", "s3cret"), Access::kTokenMissing);
  visit.authorization = "Bearer m3trics";
  EXPECT_EQ(may_scrape(visit, "m3trics", "s3cret"), Access::kGranted);
  EXPECT_EQ(may_look(visit, "s3cret"), Access::kTokenMissing);
  visit.authorization = "Bearer s3cret";
  EXPECT_EQ(may_scrape(visit, "m3trics", "s3cret"), Access::kGranted);
  visit.authorization = "Bearer ";
  EXPECT_EQ(may_scrape(visit, "m3trics", ""), Access::kTokenMissing);
}

}  // namespace
}  // namespace imapmux::admin
