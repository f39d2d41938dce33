#include "config/scalars.h"

#include <gtest/gtest.h>

#include <map>

#include "config/environment.h"
#include "config/yaml_lines.h"

namespace imapmux::config {
namespace {

using base::Millis;

TEST(Scalars, Durations) {
  EXPECT_EQ(Millis(500), parse_duration("500ms"));
  EXPECT_EQ(Millis(30'000), parse_duration("30s"));
  EXPECT_EQ(Millis(300'000), parse_duration("5m"));
  EXPECT_EQ(Millis(3'600'000), parse_duration("1h"));
  EXPECT_EQ(Millis(0), parse_duration("0"));
  for (const std::string_view text :
       {"", "s", "5", "5 s", " 5s", "5s ", "1.5s", "-1s", "+1s", "5S", "5sec", "0x5s", "5m30s", "1d",
        "9223372036854775807h", "18446744073709551616ms"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  for (const std::string text : {"1ms", "999ms", "1s", "90s", "5m", "36h"}) {
    EXPECT_EQ(text, format_duration(*parse_duration(text)));
  }
  EXPECT_EQ("1m", format_duration(Millis(60'000)));
}

TEST(Scalars, Sizes) {
  EXPECT_EQ(512U, parse_size("512B"));
  EXPECT_EQ(65'536U, parse_size("64KiB"));
  EXPECT_EQ(1U << 20, parse_size("1MiB"));
  EXPECT_EQ(4ULL << 30, parse_size("4GiB"));
  for (const std::string_view text : {"", "64", "64K", "64kb", "64KB", "64 KiB", "1TiB", "99999999999GiB"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
  EXPECT_EQ("64KiB", format_size(65'536));
  EXPECT_EQ("1025B", format_size(1025));
  EXPECT_EQ("0B", format_size(0));
}

TEST(Scalars, NumbersAndBooleans) {
  EXPECT_EQ(18'446'744'073'709'551'615ULL, parse_integer("18446744073709551615"));
  for (const std::string_view text :
       {"", "-1", "+1", " 1", "1 ", "1e3", "0x1", "1_000", "18446744073709551616"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
  }
  EXPECT_EQ(true, parse_boolean("true"));
  EXPECT_EQ(false, parse_boolean("false"));
  for (const std::string_view text : {"", "yes", "no", "on", "True", "1"})
    EXPECT_FALSE(parse_boolean(text)) << text;
}

TEST(Scalars, QuotedTextIsHarmless) {
  EXPECT_EQ("\"a?b\"", config::quoted("a\x1b"
                                      "b"));
  EXPECT_EQ(80U + 5U, config::quoted(std::string(500, 'x')).size());
}

TEST(Scalars, NearestName) {
  const std::vector<std::string_view> names{"max_clients", "bind", "tls"};
  EXPECT_EQ("max_clients", nearest("max-client", names));
  EXPECT_EQ("bind", nearest("BIND", names));
  EXPECT_FALSE(nearest("frobnicate", names));
  EXPECT_FALSE(nearest(std::string(100'000, 'a'), names));
}

std::string expand(std::string_view text) {
  const std::map<std::string, std::string> variables{{"A", "1"}, {"EMPTY", ""}, {"DOLLAR", "${A}"}};
  const Expansion expansion = expand_environment(text, [&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
  return expansion.error.empty() ? expansion.text : "error: " + expansion.error;
}

TEST(Environment, Expands) {
  EXPECT_EQ("x1y1", expand("x${A}y${A}"));
  EXPECT_EQ("", expand("${EMPTY}"));
  EXPECT_EQ("d", expand("${EMPTY:-d}"));
  EXPECT_EQ("d:-e", expand("${NONE:-d:-e}"));
  EXPECT_EQ("", expand("${NONE:-}"));
  EXPECT_EQ("1", expand("${A:-d}"));
  EXPECT_EQ("${A}", expand("$${A}"));
  EXPECT_EQ("${A}", expand("${DOLLAR}"));  // once only
  EXPECT_EQ("^(.*)$", expand("^(.*)$"));
  EXPECT_EQ("$A $", expand("$A $$"));
}

TEST(Environment, Refuses) {
  EXPECT_EQ("error: the environment variable NONE is not set", expand("${NONE}"));
  for (const std::string_view text : {"${", "${A", "${}", "${1}", "${A B}", "${A-d}", "${:-d}"}) {
    EXPECT_TRUE(expand(text).starts_with("error: ")) << text;
  }
}

std::string unclosed(std::string_view text) {
  const auto fault = find_unclosed(text);
  return fault ? std::to_string(fault->line) + ":" + std::to_string(fault->column) : "none";
}

TEST(YamlLines, FindsWhatIsNeverClosed) {
  EXPECT_EQ("1:4", unclosed("a: [1, 2\nb: [3]\n"));
  EXPECT_EQ("2:6", unclosed("a:\n  b: {c: 1\n"));
  EXPECT_EQ("1:5", unclosed("a: {[1}"));
  EXPECT_EQ("1:4", unclosed("a: 'it''s\nb: 1\n"));
  EXPECT_EQ("1:4", unclosed("a: \"\\\"\nb: 1\n"));
  for (const std::string_view text : {"a: [1]\n", "a: don't [ here\n", "a: 1 # [ {\n", "a: '[' # \"\n",
                                      "a: \"[\\\"\"\n", "- {a: [1, {b: 2}]}\n", "a: it's\nb: it's\n", ""}) {
    EXPECT_EQ("none", unclosed(text)) << text;
  }
}

TEST(YamlLines, FindsTabs) {
  EXPECT_EQ(2, find_tab("a:\n \tb: 1\n")->line);
  EXPECT_EQ(2, find_tab("a:\n \tb: 1\n")->column);
  EXPECT_FALSE(find_tab("a: 1\t# comment\n\t\n\t# comment\n"));
}

TEST(YamlLines, FindsBadCharacters) {
  EXPECT_FALSE(
      find_bad_character("Gr\xc3\xbc\xc3\x9f"
                         "e \xe2\x82\xac \xf0\x9f\x93\xac\t\r\n"));
  for (const std::string_view text : {"\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xc3", "\xe2\x82", "\x80", "\xf8\x88\x80\x80\x80", "\x1b", "\x7f"}) {
    EXPECT_TRUE(find_bad_character(text));
  }
  EXPECT_EQ(3, find_bad_character("a\nb\xc3\xbc\nc\xff")->line);
}

}  // namespace
}  // namespace imapmux::config
