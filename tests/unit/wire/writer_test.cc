#include "wire/writer.h"

#include <gtest/gtest.h>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

using namespace std::string_literals;
using Pieces = std::vector<std::string>;

std::string astring(std::string_view value) {
  std::string out;
  write_astring(out, value);
  return out;
}

Pieces synchronising(std::string_view text) {
  return write_command("t", text, LiteralForm::kSynchronising).pieces;
}
Pieces plus(std::string_view text) {
  return write_command("t", text, LiteralForm::kPlus).pieces;
}

TEST(Writer, KnowsWhatCanBeQuoted) {
  EXPECT_TRUE(quotable(""));
  EXPECT_TRUE(quotable("a \"b\" \\ \t~"));
  EXPECT_TRUE(quotable(std::string(1000, 'x')));
  EXPECT_FALSE(quotable(std::string(1001, 'x')));
  for (const std::string& text : {"\r"s, "\n"s, "\0"s, "\x7f"s, "\xc3\xbc"s})
    EXPECT_FALSE(quotable("a" + text));
}

TEST(Writer, WritesAtomsOnlyWhereNothingElseIsMeant) {
  EXPECT_EQ(astring("INBOX"), "INBOX");
  EXPECT_EQ(astring("a.b/c-d_e~f&-"), "a.b/c-d_e~f&-");
  EXPECT_EQ(astring(""), "\"\"");
  EXPECT_EQ(astring("nil"), "\"nil\"");
  EXPECT_EQ(astring("a b"), "\"a b\"");
  EXPECT_EQ(astring("a\"\\"), "\"a\\\"\\\\\"");
  for (const char c : "(){%*[]"s) EXPECT_EQ(astring(std::string(1, c)), "\""s + c + "\"");
}

TEST(Writer, WritesTextThatCannotEndALine) {
  std::string out = "* NO ";
  write_text(out, "a\r\nb\0c\xc3\xbc\x7f~"s);
  EXPECT_EQ(out, "* NO a??b?c???~");
  out.clear();
  write_text(out, std::string(1000, 'x'));
  EXPECT_EQ(out.size(), 400U);
}

TEST(Writer, PassesOnWhatHasNoLiterals) {
  const std::string_view text = "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (\"From\" To)]<0.10> \\Seen) {x";
  EXPECT_EQ(synchronising(text.substr(0, text.size() - 3)),
            Pieces{"t UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (\"From\" To)]<0.10> \\Seen)\r\n"});
  EXPECT_EQ(plus("NOOP"), Pieces{"t NOOP\r\n"});
  EXPECT_EQ(plus("APPEND box "), Pieces{"t APPEND box \r\n"});
}

TEST(Writer, QuotesLiterals) {
  EXPECT_EQ(synchronising("LOGIN {3}\r\nfoo {4+}\r\na\"\\b"), Pieces{"t LOGIN \"foo\" \"a\\\"\\\\b\"\r\n"});
  EXPECT_EQ(synchronising("SELECT {0}\r\n"), Pieces{"t SELECT \"\"\r\n"});
  EXPECT_EQ(synchronising("FETCH 1 BODY[HEADER.FIELDS ({4}\r\nFrom)]"),
            Pieces{"t FETCH 1 BODY[HEADER.FIELDS (\"From\")]\r\n"});
}

TEST(Writer, CutsWhereTheBackendMustBeAwaited) {
  EXPECT_EQ(synchronising("SEARCH SUBJECT {2}\r\n\xc3\xbc BODY {3+}\r\na\r\n ALL"),
            (Pieces{"t SEARCH SUBJECT {2}\r\n", "\xc3\xbc BODY {3}\r\n", "a\r\n ALL\r\n"}));
  EXPECT_EQ(plus("SEARCH SUBJECT {2}\r\n\xc3\xbc BODY {3}\na\r\n ALL"),
            Pieces{"t SEARCH SUBJECT {2+}\r\n\xc3\xbc BODY {3+}\r\na\r\n ALL\r\n"});
}

TEST(Writer, KeepsLiteralsWithControlCharacters) {
  EXPECT_EQ(plus("LOGIN x {2}\r\na\t"), Pieces{"t LOGIN x {2+}\r\na\t\r\n"});
}

TEST(Writer, KeepsLiteral8) {
  EXPECT_EQ(synchronising("SETMETADATA x (/a ~{3}\r\nabc)"),
            (Pieces{"t SETMETADATA x (/a ~{3}\r\n", "abc)\r\n"}));
  EXPECT_EQ(plus("SETMETADATA x (/a ~{3}\r\na\0b)"s), Pieces{"t SETMETADATA x (/a ~{3+}\r\na\0b)\r\n"s});
}

TEST(Writer, WritesNothingOfMalformedText) {
  for (const std::string& text :
       {"NOOP\r\nx LOGOUT"s, "NOOP\n"s, "X \"a"s, "X \"a\r\nb\""s, "X \"a\rb\""s, "X \"\0\""s, "X \0"s,
        "X {3}"s, "X {3}\r\nab"s, "X foo{3}"s, "X foo{3}\r\nabc"s, "X \"a\"{3}\r\nabc"s, "X ~{3}\r\n"s,
        "X {"s, "X \"\\\""s}) {
    EXPECT_TRUE(plus(text).empty()) << text;
    EXPECT_TRUE(synchronising(text).empty()) << text;
  }
}

// What is written must be read as one command with the same arguments: nothing slips in as a second command.
TEST(Writer, IsReadAsTheSameCommand) {
  Garbage garbage(42, {"a", " ", "(", ")", "\"", "\\", " {3}\r\nx\r\n", " {1+}\r\n\"", " {2}\r\n\xc3\xbc",
                       " ~{2}\r\nhi", "[", "]", "{3}", "\r\n"});
  const auto values = [](std::string_view text) {
    TokenReader reader(text);
    std::string out;
    while (const auto token = reader.next()) out += decode(*token) + "|";
    return out;
  };
  int written = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = "X " + garbage.next(8);
    for (const LiteralForm form : {LiteralForm::kPlus, LiteralForm::kSynchronising}) {
      std::string all;
      const Pieces pieces = write_command("t", text, form).pieces;
      for (const std::string& piece : pieces) all += piece;
      if (pieces.empty() || text.find_first_of("[]") != std::string::npos)
        continue;  // values() sees raw brackets
      CommandParser parser(CommandLimits{});
      std::string_view input = all;
      CommandParser::Event event = parser.next(input);
      size_t waits = 0;
      for (; event == CommandParser::Event::kContinue; event = parser.next(input)) ++waits;
      if (event == CommandParser::Event::kBad) continue;  // a control character in the text itself
      ASSERT_EQ(event, CommandParser::Event::kCommand) << text << "\n" << all;
      ++written;
      EXPECT_EQ(waits + 1, pieces.size()) << text;
      EXPECT_TRUE(input.empty()) << text;
      EXPECT_EQ(values(parser.take().text), values(text)) << text;
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(written, 1000);
}

}  // namespace
}  // namespace imapmux::wire
