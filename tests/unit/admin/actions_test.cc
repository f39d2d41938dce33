// What is asked for by POST, and what is answered.
#include "admin/actions.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace imapmux::admin {
namespace {

using nlohmann::json;

struct Actions : testing::Test {
  std::vector<std::string> done;
  size_t meant = 1;
  Sources sources = {
      .status = {},
      .readiness = {},
      .token = {},
      .metrics_token = {},
      .kick =
          [this](const session::KickWish& wish) {
            done.push_back(wish.user.empty() ? "kick #" + std::to_string(wish.session) : "kick " + wish.user);
            return meant;
          },
      .drain =
          [this](const DrainWish& wish) {
            done.push_back((wish.on ? "drain " : "undrain ") + wish.backend + "/" + wish.server);
            return meant;
          },
      .reload = {}};
};

TEST_F(Actions, KickAUserOrASession) {
  EXPECT_EQ(kick(R"({"user": "bob"})", sources).body, R"({"kicked":1})");
  EXPECT_EQ(kick(R"({"session": "1f"})", sources).status, 200);
  EXPECT_EQ(done, (std::vector<std::string>{"kick bob", "kick #31"}));
  meant = 0;
  EXPECT_EQ(kick(R"({"user": "bob"})", sources).status, 404);
}

TEST_F(Actions, WhatMakesNoSenseIsRefusedAndNothingIsDone) {
  for (const char* body :
       {"", "{}", "[]", "nonsense", "{\"user\":", R"({"user": 1})", R"({"user": ""})",
        R"({"user": "bob", "session": "1"})", R"({"user": "bob", "all": "yes"})", R"({"session": "x"})",
        R"({"session": "0"})", R"({"session": "1 "})", R"({"session": "fffffffffffffffff"})"}) {
    const auto answer = kick(body, sources);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_TRUE(json::parse(answer.body).contains("error")) << body;
  }
  for (const char* body : {R"({"server": "a:143"})", R"({"backend": ""})", R"({"backend": ["a"]})", "null"})
    EXPECT_EQ(drain(body, sources, Draining::kBegins).status, 400) << body;
  EXPECT_EQ(reload(R"({"file": "x"})", [] { return ReloadOutcome{true, {}}; }).status, 400);
  EXPECT_TRUE(done.empty());
}

TEST_F(Actions, DrainTheProcessABackendOrAServer) {
  EXPECT_EQ(drain("", sources, Draining::kBegins).body, R"({"draining":true})");
  EXPECT_EQ(drain(R"({"backend": "old"})", sources, Draining::kEnds).body,
            R"({"draining":false,"servers":1})");
  drain(R"({"backend": "old", "server": "a:143"})", sources, Draining::kBegins);
  EXPECT_EQ(done, (std::vector<std::string>{"drain /", "undrain old/", "drain old/a:143"}));
  meant = 0;
  EXPECT_EQ(drain(R"({"backend": "none"})", sources, Draining::kBegins).status, 404);
}

TEST_F(Actions, AReloadIsAnsweredWithWhatTheLogSays) {
  const auto good = reload("{}", [] { return ReloadOutcome{true, {"info: in force"}}; });
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.body, R"({"in_force":true,"said":["info: in force"]})");
  EXPECT_EQ(reload("", [] { return ReloadOutcome{false, {"error: \xff"}}; }).status, 422);
  EXPECT_EQ(reload("", [] { return std::nullopt; }).status, 503);
  EXPECT_EQ(reload("", {}).status, 501);
}

}  // namespace
}  // namespace imapmux::admin
