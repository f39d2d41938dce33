#include "demo/quirks_option.h"

#include <gtest/gtest.h>

#include <chrono>

namespace imapmux::demo {
namespace {

Quirks parsed(std::string_view text) {
  std::string problem = "stale";
  const Quirks quirks = parse_quirks(text, problem);
  EXPECT_EQ(problem, "") << text;
  return quirks;
}

std::string problem_of(std::string_view text) {
  std::string problem;
  parse_quirks(text, problem);
  return problem;
}

TEST(QuirksOption, NothingIsTheDefault) {
  for (std::string_view text : {"", "  "}) {
    const Quirks quirks = parsed(text);
    EXPECT_EQ(quirks.second_session, SecondSession::kSeversFirst);
    EXPECT_EQ(quirks.status_of_selected, StatusOfSelected::kFine);
    EXPECT_TRUE(quirks.has_idle && quirks.idle_pushes && quirks.has_move && quirks.examine_counts);
    EXPECT_EQ(quirks.latency, std::chrono::milliseconds(0));
  }
}

TEST(QuirksOption, Choices) {
  EXPECT_EQ(parsed("second_session=refused").second_session, SecondSession::kRefused);
  EXPECT_EQ(parsed("second_session=severs").second_session, SecondSession::kSeversFirst);
  EXPECT_EQ(parsed("second_session=read_only").second_session, SecondSession::kReadOnly);
  EXPECT_EQ(parsed("second_session=allowed").second_session, SecondSession::kAllowed);
  EXPECT_EQ(parsed("status=kills").status_of_selected, StatusOfSelected::kKillsSession);
  EXPECT_EQ(parsed("status=stale").status_of_selected, StatusOfSelected::kStaleNumbers);
  EXPECT_EQ(parsed("status=kills,status=fine").status_of_selected, StatusOfSelected::kFine);
}

TEST(QuirksOption, AllAtOnceWithSpaces) {
  const Quirks quirks = parsed(
      " second_session = refused , "
      "status=stale,max_user=3,max_address=20,no_unselect,no_idle,no_literal_plus,"
      "no_uidplus, no_move,no_namespace ,idle_silent,latency_ms=250");
  EXPECT_EQ(quirks.second_session, SecondSession::kRefused);
  EXPECT_EQ(quirks.status_of_selected, StatusOfSelected::kStaleNumbers);
  EXPECT_EQ(quirks.max_connections_per_user, 3u);
  EXPECT_EQ(quirks.max_connections_per_address, 20u);
  EXPECT_FALSE(quirks.has_unselect || quirks.has_idle || quirks.has_literal_plus || quirks.has_uidplus ||
               quirks.has_move || quirks.has_namespace || quirks.idle_pushes);
  EXPECT_EQ(quirks.latency, std::chrono::milliseconds(250));
}

TEST(QuirksOption, Problems) {
  const std::string known = "; known are " + std::string(kQuirksHelp);
  EXPECT_EQ(problem_of("no_fun"), "\"no_fun\" is no known quirk" + known);
  EXPECT_EQ(problem_of("no_fun=1"), "\"no_fun\" is no known quirk" + known);
  EXPECT_EQ(problem_of("no_idle,,no_move"), "a word is missing" + known);
  EXPECT_EQ(problem_of("no_idle,"), "a word is missing" + known);
  EXPECT_EQ(problem_of("no_idle=yes"), "\"no_idle\" takes no value");
  EXPECT_EQ(problem_of("status=dies"), "status=\"dies\": not one of kills, stale, fine");
  EXPECT_EQ(problem_of("second_session"),
            "\"second_session\" needs a value, one of refused, severs, read_only, allowed");
  EXPECT_EQ(problem_of("max_user"), "\"max_user\" needs a value, a number from 0 to 1000000");
  for (std::string_view wrong : {"x", "-1", "3x", "1000001", "99999999999999999999"})
    EXPECT_EQ(problem_of("max_user=" + std::string(wrong)),
              "max_user=\"" + std::string(wrong) + "\": not a number from 0 to 1000000");
  EXPECT_EQ(problem_of("latency_ms=60001"), "latency_ms=\"60001\": not a number from 0 to 60000");
}

TEST(ViolationsJson, None) {
  EXPECT_EQ(
      violations_json(Violations{}),
      "{\"violations\":{\"total\":0,\"second_select\":0,\"second_examine\":0,"
      "\"status_of_selected_by_other\":0,\"status_of_own\":0,\"append_or_copy_to_selected_by_other\":0,"
      "\"delete_or_rename_of_selected\":0,\"over_user_limit\":0,\"over_address_limit\":0},\"texts\":[]}");
}

TEST(ViolationsJson, CountsAndEscapes) {
  Violations violations;
  violations.record(violations.second_select, "a \"quoted\\\" \r\n\x01\x7f");
  violations.record(violations.status_of_own, "j\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x93\xac");
  violations.record(violations.status_of_own, "\xff \xc3 \xed\xa0\x80 \xc0\x80 \xe2\x82");
  const std::string json = violations_json(violations);
  EXPECT_TRUE(json.starts_with("{\"violations\":{\"total\":3,\"second_select\":1,"));
  EXPECT_TRUE(json.contains("\"status_of_own\":2,"));
  EXPECT_TRUE(json.contains("\"texts\":[\"a \\\"quoted\\\\\\\" \\u000d\\u000a\\u0001\\u007f\","));
  EXPECT_TRUE(json.contains("\"j\xc3\xbcrgen \xe2\x82\xac \xf0\x9f\x93\xac\","));
  EXPECT_TRUE(json.ends_with("\"\\ufffd \\ufffd \\ufffd\\ufffd\\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\"]}"));
}

}  // namespace
}  // namespace imapmux::demo
