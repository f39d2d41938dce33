// What the log's lines look like, for people and for machines, whatever peers put into them.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "base/log_escape.h"
#include "base/log_event.h"

namespace imapmux::base::log {
namespace {

// What is logged by `act`, without the times.
template <class Act>
std::string logged(Format format, Act act, Level level = Level::kInfo) {
  configure(level, format);
  testing::internal::CaptureStderr();
  act();
  const auto text = testing::internal::GetCapturedStderr();
  configure(Level::kInfo, Format::kText);
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string_view kTime = "2026-03-01T12:00:00.000+00:00";
    if (line.starts_with("{\"time\":\""))
      out += "{" + line.substr(std::string_view("{\"time\":\"\",").size() + kTime.size()) + "\n";
    else
      out += line.substr(std::min(line.size(), kTime.size() + 1)) + "\n";
  }
  return out;
}

Event login{Level::kInfo, "login"};

void log_a_login(std::string_view user) {
  login.write({{"session", "1f"},
               {"user", user},
               {"server", ""},
               {"tls", true},
               {"sessions", uint64_t{3}},
               {"took", Millis(12)}});
}

TEST(Log, AnEventIsOneLineWithItsValuesByName) {
  EXPECT_EQ(logged(Format::kText, [] { log_a_login("bob"); }),
            "info  login session=1f user=bob tls=true sessions=3 took=0.012s\n");
  EXPECT_EQ(
      logged(Format::kJson, [] { log_a_login("bob"); }),
      R"({"level":"info","message":"login","session":"1f","user":"bob","tls":true,"sessions":3,"took":0.012})"
      "\n");
}

TEST(Log, WhatAllEventsOfASessionHaveInCommonStandsInFront) {
  const Field about[] = {{"session", "1f"}, {"user", "bob"}};
  EXPECT_EQ(logged(Format::kText, [&] { login.write(about, {{"took", Millis(1500)}}); }),
            "info  login session=1f user=bob took=1.500s\n");
}

TEST(Log, FreeTextIsAMessageAsWell) {
  EXPECT_EQ(logged(Format::kText, [] { warn("backend {}: gone", "old"); }), "warning backend old: gone\n");
  EXPECT_EQ(logged(Format::kJson, [] { warn("backend \"{}\": gone", "old"); }),
            R"({"level":"warning","message":"backend \"old\": gone"})"
            "\n");
}

TEST(Log, NoUserNameForgesAValueALineOrAnEscapeSequence) {
  const std::string_view hostile = "bob tls=false\r\n2026 \"x\\\x1b[31m\x7f";
  EXPECT_EQ(logged(Format::kText, [&] { log_a_login(hostile); }),
            "info  login session=1f user=\"bob tls=false\\x0d\\x0a2026 \\\"x\\\\\\x1b[31m\\x7f\" tls=true "
            "sessions=3 "
            "took=0.012s\n");
  EXPECT_EQ(logged(Format::kJson, [&] { log_a_login(hostile); }),
            R"({"level":"info","message":"login","session":"1f",)"
            R"("user":"bob tls=false\u000d\u000a2026 \"x\\\u001b[31m\u007f",)"
            R"("tls":true,"sessions":3,"took":0.012})"
            "\n");
}

std::string printable(std::string_view text) {
  std::string out;
  append_printable(out, text);
  return out;
}

std::string json(std::string_view text) {
  std::string out;
  append_json(out, text);
  return out;
}

TEST(Log, WhatIsNoUtf8IsShownOctetByOctet) {
  EXPECT_EQ(printable("Jörg \xe2\x82\xac \xf0\x9f\x98\x80"), "Jörg \xe2\x82\xac \xf0\x9f\x98\x80");
  for (const std::string_view wrong : {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                                       "\xe2\x82", "\xc3", "\xf0\x80\x80\x80"}) {
    for (const char c : printable(wrong)) EXPECT_LT(static_cast<unsigned char>(c), 0x80) << printable(wrong);
    for (const char c : json(wrong)) EXPECT_LT(static_cast<unsigned char>(c), 0x80) << json(wrong);
  }
  EXPECT_EQ(printable("a\xff"
                      "b"),
            "a\\xffb");
  EXPECT_EQ(json("a\xff"
                 "b"),
            "\"a\\\\xffb\"");
}

TEST(Log, SomeCharactersBeyondAsciiSteerTerminalsToo) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");                               // CSI, as C1
  EXPECT_EQ(printable("\xe2\x80\xae"), "\\xe2\\x80\\xae");  // RIGHT-TO-LEFT OVERRIDE
  EXPECT_EQ(json("\xe2\x80\xa8"), "\"\\u2028\"");           // LINE SEPARATOR
}

TEST(Log, BelowTheLevelNothingIsWritten) {
  EXPECT_EQ(logged(Format::kText, [] { log_a_login("bob"); }, Level::kWarn), "");
}

TEST(Log, AFloodIsLetThroughInDropsThatAddUp) {
  FloodGate gate;
  Instant now{Millis(1'000'000)};
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += gate.admit(now) ? 1 : 0;
  EXPECT_EQ(admitted, FloodGate::kBurst);
  now += FloodGate::kInterval;
  EXPECT_TRUE(gate.admit(now));
  EXPECT_FALSE(gate.admit(now));
  now += FloodGate::kInterval * FloodGate::kBurst;
  admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += gate.admit(now) ? 1 : 0;
  EXPECT_EQ(admitted, FloodGate::kBurst);
}

TEST(Log, WhatWasLeftOutOfAFloodIsCounted) {
  Event refused{Level::kInfo, "login refused", Event::Volume::kLimited};
  constexpr int kMany = 3 * FloodGate::kBurst;
  const auto log = logged(Format::kText, [&] {
    for (int i = 0; i < kMany; ++i) refused.write({{"user", "eve"}});
    ::usleep(static_cast<useconds_t>(2 * FloodGate::kInterval.count() * 1000));
    refused.write({{"user", "eve"}});
  });
  int told = 0;
  int left_out = 0;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    ++told;
    if (const auto at = line.find(" left_out="); at != std::string::npos)
      left_out += std::atoi(line.c_str() + at + std::string_view(" left_out=").size());
  }
  EXPECT_LT(told, kMany);
  EXPECT_EQ(told + left_out, kMany + 1);
}

}  // namespace
}  // namespace imapmux::base::log
