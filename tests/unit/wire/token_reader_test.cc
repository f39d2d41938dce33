#include "wire/token_reader.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

std::string tokens(std::string_view text) {
  const Chunk copy(text);
  TokenReader reader(copy.view());
  std::string out;
  while (const auto token = reader.next()) {
    constexpr std::string_view kKinds = "aql()";
    out += kKinds[static_cast<size_t>(token->kind)];
    if (token->kind != Token::Kind::kOpen && token->kind != Token::Kind::kClose)
      out += "<" + decode(*token) + ">";
  }
  if (!reader.at_end()) out += "!" + std::string(reader.rest());
  return out;
}

TEST(TokenReader, CutsAtomsStringsAndParentheses) {
  EXPECT_EQ(tokens("FLAGS (\\Seen $x) \"a b\" {3}\r\nxyz NIL"), "a<FLAGS>(a<\\Seen>a<$x>)q<a b>l<xyz>a<NIL>");
  EXPECT_EQ(tokens("1:* % + a=b +FLAGS.SILENT"), "a<1:*>a<%>a<+>a<a=b>a<+FLAGS.SILENT>");
  EXPECT_EQ(tokens("(1)(2 (3))"), "(a<1>)(a<2>(a<3>))");
  EXPECT_EQ(tokens("  a   b"), "a<a>a<b>");
  EXPECT_EQ(tokens(""), "");
}

TEST(TokenReader, KeepsBracketsTogether) {
  EXPECT_EQ(tokens("BODY[HEADER.FIELDS (FROM TO)]<0.100> x"), "a<BODY[HEADER.FIELDS (FROM TO)]<0.100>>a<x>");
  EXPECT_EQ(tokens("(BODY[] NIL)"), "(a<BODY[]>a<NIL>)");
  EXPECT_EQ(tokens("[Gmail]/x y"), "a<[Gmail]/x>a<y>");
  EXPECT_EQ(tokens("BODY[H (\"a]b\")] x"), "a<BODY[H (\"a]b\")]>a<x>");
  EXPECT_EQ(tokens("BODY[H ({2}\r\n]])] x"), "a<BODY[H ({2}\r\n]])]>a<x>");
}

TEST(TokenReader, TakesAnUnclosedBracketAsAnyOctet) {
  EXPECT_EQ(tokens("foo[bar baz"), "a<foo[bar>a<baz>");
  EXPECT_EQ(tokens("(foo[bar) [ ["), "(a<foo[bar>)a<[>a<[>");
  EXPECT_EQ(tokens("x[\"]\" y"), "a<x[>q<]>a<y>");
  EXPECT_EQ(tokens("x] y"), "a<x]>a<y>");
}

TEST(TokenReader, IsLinearInUnclosedBrackets) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "[ ";
  text += "x";
  TokenReader reader(text);
  size_t count = 0;
  while (reader.peek() && reader.next()) ++count;
  EXPECT_EQ(count, 200'001U);
}

TEST(TokenReader, ReadsLiteralsOfEveryForm) {
  EXPECT_EQ(tokens("{3}\r\nabc {3+}\r\na\r\n ~{1}\nx ~{0+}\r\n"), "l<abc>l<a\r\n>l<x>l<>");
  EXPECT_EQ(tokens("{0003}\r\nabc"), "l<abc>");
}

TEST(TokenReader, StopsAtMalformedText) {
  EXPECT_EQ(tokens("a \"b"), "a<a>! \"b");
  EXPECT_EQ(tokens("a \"b\\\""), "a<a>! \"b\\\"");
  EXPECT_EQ(tokens("a \"b\n\""), "a<a>! \"b\n\"");
  EXPECT_EQ(tokens("{4}\r\nabc"), "!{4}\r\nabc");
  EXPECT_EQ(tokens("{3}abc"), "!{3}abc");
  EXPECT_EQ(tokens("{}\r\n"), "!{}\r\n");
  EXPECT_EQ(tokens("{99999999999999999999}\r\n"), "!{99999999999999999999}\r\n");
  EXPECT_EQ(tokens("x{3}"), "a<x>!{3}");
  EXPECT_EQ(tokens("~{3}"), "a<~>!{3}");
  EXPECT_EQ(tokens("a\r\nb"), "a<a>!\r\nb");
  EXPECT_EQ(tokens("a "), "a<a>! ");
}

TEST(TokenReader, GivesRawText) {
  TokenReader reader(" \"a\\\"b\" {2+}\r\nxy z");
  auto token = reader.next();
  ASSERT_TRUE(token);
  EXPECT_EQ(token->raw, "\"a\\\"b\"");
  EXPECT_EQ(token->value, "a\\\"b");
  EXPECT_EQ(decode(*token), "a\"b");
  token = reader.peek();
  ASSERT_TRUE(token);
  EXPECT_EQ(token->raw, "{2+}\r\nxy");
  EXPECT_EQ(reader.rest(), " {2+}\r\nxy z");
  reader.next();
  EXPECT_EQ(reader.rest(), " z");
}

TEST(TokenReader, ReadsExactlyOneSpace) {
  TokenReader reader("  a");
  EXPECT_TRUE(reader.space());
  EXPECT_EQ(reader.position(), 1U);
  EXPECT_TRUE(reader.space());
  EXPECT_FALSE(reader.space());
  EXPECT_EQ(reader.atom(), "a");
  EXPECT_TRUE(reader.at_end());
  EXPECT_FALSE(reader.space());
}

TEST(TokenReader, LeavesThePositionWhereAnotherThingStands) {
  TokenReader reader(" (x");
  EXPECT_FALSE(reader.atom());
  EXPECT_FALSE(reader.astring());
  EXPECT_FALSE(reader.string());
  EXPECT_FALSE(reader.number());
  EXPECT_FALSE(reader.close());
  EXPECT_FALSE(reader.skip_value());
  EXPECT_EQ(reader.position(), 0U);
  EXPECT_TRUE(reader.open());
  EXPECT_FALSE(reader.string());
  EXPECT_EQ(reader.astring(), "x");
}

TEST(TokenReader, ReadsAstringsAndStrings) {
  TokenReader reader("atom \"q\\\\\" {1}\r\n\n NIL");
  EXPECT_FALSE(reader.string());
  EXPECT_EQ(reader.astring(), "atom");
  EXPECT_EQ(reader.string(), "q\\");
  EXPECT_EQ(reader.string(), "\n");
  EXPECT_FALSE(reader.string());
  EXPECT_EQ(reader.astring(), "NIL");
}

TEST(TokenReader, ReadsNumbers) {
  TokenReader reader("0 4294967295 4294967296 18446744073709551615)18446744073709551616 1a -1");
  EXPECT_EQ(reader.number(), 0U);
  EXPECT_EQ(reader.number(), 4294967295U);
  EXPECT_FALSE(reader.number());
  EXPECT_EQ(reader.number64(), 4294967296U);
  EXPECT_EQ(reader.number64(), 18446744073709551615U);
  EXPECT_FALSE(reader.number64());
  EXPECT_TRUE(reader.close());
  EXPECT_FALSE(reader.number64());
  reader.next();
  EXPECT_FALSE(reader.number());
  reader.next();
  EXPECT_FALSE(reader.number());
}

TEST(TokenReader, SkipsValues) {
  TokenReader reader("(a (b \")\") {1}\r\n() \"x\" BODY[] y");
  EXPECT_TRUE(reader.skip_value());
  EXPECT_EQ(reader.rest(), " \"x\" BODY[] y");
  EXPECT_TRUE(reader.skip_value());
  EXPECT_TRUE(reader.skip_value());
  EXPECT_TRUE(reader.skip_value());
  EXPECT_FALSE(reader.skip_value());
}

TEST(TokenReader, SkipsListsOf100LevelsAndNoMore) {
  const std::string hundred = std::string(100, '(') + std::string(100, ')');
  TokenReader shallow(hundred);
  EXPECT_TRUE(shallow.skip_value());
  EXPECT_TRUE(shallow.at_end());
  const std::string more = "(" + hundred + ")";
  TokenReader deep(more);
  EXPECT_FALSE(deep.skip_value());
  TokenReader open("((a)");
  EXPECT_FALSE(open.skip_value());
  EXPECT_EQ(open.position(), 0U);
}

TEST(TokenReader, Unescapes) {
  EXPECT_EQ(unescape("a\\\\b\\\"c"), "a\\b\"c");
  EXPECT_EQ(unescape("a\\"), "a\\");
}

// Neither loops nor reads beyond its text, and what it has read is what it says.
TEST(TokenReader, TakesAnyGarbage) {
  Garbage garbage(99, {"(", ")", "\"", "\\", "{3}\r\n", "{0+}\r\n", "~{2}\n", "abc", " ", "[", "]", "12",
                       "NIL", "\r\n", "{", "~"});
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = garbage.next(20);
    const Chunk copy(text);
    TokenReader reader(copy.view());
    while (!reader.at_end()) {
      const size_t before = reader.position();
      const auto ahead = reader.peek();
      const auto token = reader.next();
      ASSERT_EQ(ahead.has_value(), token.has_value()) << text;
      if (!token) {
        ASSERT_EQ(reader.position(), before) << text;
        break;
      }
      ASSERT_GT(reader.position(), before) << text;
      ASSERT_EQ(token->raw.data() + token->raw.size(), reader.rest().data()) << text;
    }
    TokenReader skipper(copy.view());
    while (skipper.skip_value()) {
    }
  }
}

}  // namespace
}  // namespace imapmux::wire
