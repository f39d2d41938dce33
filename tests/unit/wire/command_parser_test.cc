#include "wire/command_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

std::string run(std::string_view input, CommandOptions options = {}) {
  return every_split(input, [&](const Chunks& chunks) { return command_transcript(chunks, options); });
}

CommandOptions small() {
  return {.limits = {.max_command = 40, .max_literal = 8}};
}

TEST(CommandParser, CutsTagNameAndArguments) {
  EXPECT_EQ(run("a1 FETCH 1:* (FLAGS)\r\n"), "command [a1] FETCH <FETCH 1:* (FLAGS)> <1:* (FLAGS)>\nidle\n");
}

TEST(CommandParser, AcceptsBareLineFeeds) {
  EXPECT_EQ(run("a1 NOOP\nb LOGOUT\r\n"),
            "command [a1] NOOP <NOOP> <>\ncommand [b] LOGOUT <LOGOUT> <>\nidle\n");
}

TEST(CommandParser, KnowsNamesInAnyCaseAndTheUidForms) {
  EXPECT_EQ(run("a uid Fetch 1 FLAGS\r\nb UID EXPUNGE 3\r\nc sElEcT inbox\r\n"),
            "command [a] UID FETCH <uid Fetch 1 FLAGS> <1 FLAGS>\n"
            "command [b] UID EXPUNGE <UID EXPUNGE 3> <3>\n"
            "command [c] SELECT <sElEcT inbox> <inbox>\nidle\n");
}

TEST(CommandParser, GivesUnknownCommandsAsCommands) {
  EXPECT_EQ(run("a XYZZY x\r\nb UID NOOP\r\nc UID\r\nd UID \r\ne FETCHES\r\n"),
            "command [a]  <XYZZY x> <x>\ncommand [b]  <UID NOOP> <>\ncommand [c]  <UID> <>\n"
            "command [d]  <UID > <>\ncommand [e]  <FETCHES> <>\nidle\n");
}

TEST(CommandParser, NamesWhatTheClientWrote) {
  CommandParser parser(CommandLimits{});
  std::string_view input = "a uid XyZ 1\r\nb foo\r\nc UID\r\nd Uid fetch 1\r\ne UID  x\r\nf uid \r\n";
  for (const std::string_view name : {"XyZ", "foo", "UID", "fetch", "UID", "uid"}) {
    ASSERT_EQ(parser.next(input), CommandParser::Event::kCommand);
    EXPECT_EQ(parser.take().name(), name);
  }
}

TEST(CommandParser, KeepsTrailingSpaceAndOctetsAbove0x7f) {
  EXPECT_EQ(run("a SELECT \"b\xc3\xbc\" \r\n"),
            "command [a] SELECT <SELECT \"b\xc3\xbc\" > <\"b\xc3\xbc\" >\nidle\n");
}

TEST(CommandParser, CollectsSynchronisingLiterals) {
  EXPECT_EQ(run("a LOGIN {3}\r\nfoo {4}\nb\r\nr\r\nb NOOP\r\n"),
            "continue\ncontinue\n"
            "command [a] LOGIN <LOGIN {3}\r\nfoo {4}\r\nb\r\nr> <{3}\r\nfoo {4}\r\nb\r\nr>\n"
            "command [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, CollectsLiteralsThatDoNotWait) {
  EXPECT_EQ(run("a LOGIN {3+}\r\nfoo {0+}\r\n\r\n"),
            "command [a] LOGIN <LOGIN {3+}\r\nfoo {0+}\r\n> <{3+}\r\nfoo {0+}\r\n>\nidle\n");
}

TEST(CommandParser, WaitsAlsoForAnEmptyLiteral) {
  EXPECT_EQ(run("a SELECT {0}\r\n\r\n"), "continue\ncommand [a] SELECT <SELECT {0}\r\n> <{0}\r\n>\nidle\n");
}

TEST(CommandParser, TakesAnyOctetsWithinLiteralsAlsoInLists) {
  using namespace std::string_literals;
  EXPECT_EQ(
      run("a SETMETADATA x (/private/comment ~{3}\r\n\0\r\n ({1+}\r\n\n))\r\n"s),
      "continue\ncommand [a] SETMETADATA <SETMETADATA x (/private/comment ~{3}\r\n\0\r\n ({1+}\r\n\n))> "
      "<x (/private/comment ~{3}\r\n\0\r\n ({1+}\r\n\n))>\nidle\n"s);
}

TEST(CommandParser, TakesALiteralOnlyAtTheEndOfALineAndWhereAnArgumentBegins) {
  EXPECT_EQ(run("a SELECT {3} x\r\nb SELECT foo{3}\r\nc SELECT {3x}\r\nd SELECT {}\r\ne SELECT {+}\r\nf "
                "SELECT \"{3}\"\r\n"),
            "command [a] SELECT <SELECT {3} x> <{3} x>\ncommand [b] SELECT <SELECT foo{3}> <foo{3}>\n"
            "command [c] SELECT <SELECT {3x}> <{3x}>\ncommand [d] SELECT <SELECT {}> <{}>\n"
            "command [e] SELECT <SELECT {+}> <{+}>\ncommand [f] SELECT <SELECT \"{3}\"> <\"{3}\">\nidle\n");
}

TEST(CommandParser, StreamsTheMessageOfAppend) {
  EXPECT_EQ(run("a APPEND box (\\Seen) {5}\r\nhello\r\nb NOOP\r\n"),
            "{5} [a] APPEND <APPEND box (\\Seen) > <box (\\Seen) >\ndata <hello>\nend\n"
            "command [a] APPEND <> <>\ncommand [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, StreamsMessagesThatAreNotWaitedFor) {
  EXPECT_EQ(
      run("a append box {7+}\r\nx\r\ny\r\n.\r\n"),
      "{7+} [a] APPEND <append box > <box >\ndata <x\r\ny\r\n.>\nend\ncommand [a] APPEND <> <>\nidle\n");
}

TEST(CommandParser, StreamsEmptyMessagesAndLiteral8) {
  EXPECT_EQ(run("a APPEND box {0}\r\n\r\nb APPEND box ~{2+}\r\nxy\r\n"),
            "{0} [a] APPEND <APPEND box > <box >\nend\ncommand [a] APPEND <> <>\n"
            "~{2+} [b] APPEND <APPEND box > <box >\ndata <xy>\nend\ncommand [b] APPEND <> <>\nidle\n");
}

TEST(CommandParser, CollectsTheMailboxNameOfAppend) {
  EXPECT_EQ(
      run("a APPEND {5}\r\nINBOX (\\Seen) {3+}\r\nabc\r\n"),
      "continue\n{3+} [a] APPEND <APPEND {5}\r\nINBOX (\\Seen) > <{5}\r\nINBOX (\\Seen) >\ndata <abc>\nend\n"
      "command [a] APPEND <> <>\nidle\n");
}

TEST(CommandParser, GivesTheTextBetweenTheMessagesOfMultiappend) {
  EXPECT_EQ(run("a APPEND box {1+}\r\nx (\\Seen) {2+}\r\nyz {0}\r\n trailing\r\n"),
            "{1+} [a] APPEND <APPEND box > <box >\ndata <x>\nend\n"
            "{2+} [a] APPEND < (\\Seen) > < (\\Seen) >\ndata <yz>\nend\n"
            "{0} [a] APPEND < > < >\nend\n"
            "command [a] APPEND < trailing> < trailing>\nidle\n");
}

TEST(CommandParser, DoesNotLimitStreamedLiterals) {
  EXPECT_EQ(
      run("a APPEND box {12+}\r\n0123456789ab\r\n", small()),
      "{12+} [a] APPEND <APPEND box > <box >\ndata <0123456789ab>\nend\ncommand [a] APPEND <> <>\nidle\n");
}

TEST(CommandParser, ARefusedWaitingLiteralIsOver) {
  CommandOptions options;
  options.refuse = true;
  EXPECT_EQ(run("a APPEND box {100}\r\nb NOOP\r\n", options),
            "{100} [a] APPEND <APPEND box > <box >\ncommand [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, ARefusedLiteralThatDoesNotWaitIsSkipped) {
  CommandOptions options;
  options.refuse = true;
  EXPECT_EQ(run("a APPEND box {9+}\r\nx LOGOUT\n (\\Seen) {3+}\r\nabc\r\nb NOOP\r\n", options),
            "{9+} [a] APPEND <APPEND box > <box >\ncommand [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, RefusesBadTags) {
  EXPECT_EQ(run("+ NOOP\r\n\r\n NOOP\r\na+b NOOP\r\na(b NOOP\r\n* BYE\r\na]b NOOP\r\n\n"),
            "bad [] Invalid tag\nbad [] Empty command line\nbad [] Invalid tag\nbad [] Invalid tag\n"
            "bad [] Invalid tag\nbad [] Invalid tag\ncommand [a]b] NOOP <NOOP> <>\nbad [] Empty command "
            "line\nidle\n");
}

TEST(CommandParser, TakesTagsOf255OctetsAndNoMore) {
  const std::string longest(255, 't');
  EXPECT_EQ(run(longest + " NOOP\r\nt" + longest + " NOOP\r\n"),
            "command [" + longest + "] NOOP <NOOP> <>\nbad [] Invalid tag\nidle\n");
}

TEST(CommandParser, MissesTheCommandName) {
  EXPECT_EQ(run("DONE\r\na \r\nb  NOOP\r\nc {3+}\r\nabc x\r\nd NOOP\r\n"),
            "bad [DONE] Missing command name\nbad [a] Missing command name\nbad [b] Missing command name\n"
            "bad [c] Missing command name\ncommand [d] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, RefusesControlCharacters) {
  using namespace std::string_literals;
  EXPECT_EQ(run("a NO\0OP\r\nb NOOP\r\r\nc SELECT a\tb\r\nd SELECT \x7f\r\n\x16\x03\x01 NOOP\r\ne NOOP\r\n"s),
            "bad [a] Control character in command\nbad [b] Control character in command\n"
            "bad [c] Control character in command\nbad [d] Control character in command\nbad [] Invalid tag\n"
            "command [e] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, RefusesControlCharactersBehindALiteral) {
  EXPECT_EQ(run("a LOGIN {1+}\r\nx \x01\r\nb NOOP\r\n"),
            "bad [a] Control character in command\ncommand [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, SkipsTheLiteralsOfABadCommand) {
  EXPECT_EQ(run("a LOGIN \x01 {8+}\r\nx NOOP\r\n y {3+}\r\nabc z\r\nb NOOP\r\n"),
            "bad [a] Control character in command\ncommand [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, ABadCommandEndsWhereTheClientWaits) {
  EXPECT_EQ(run("a LOGIN \x01 {8}\r\nb LOGIN \x01 {3+}\r\nabc {5}\r\nc NOOP\r\n"),
            "bad [a] Control character in command\nbad [b] Control character in command\n"
            "command [c] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, RefusesLiteralsAboveTheLimitAndSkipsThemIfNeedBe) {
  EXPECT_EQ(
      run("a LOGIN {8+}\r\n12345678 x\r\nb LOGIN {9}\r\nc LOGIN {9+}\r\n123456789 x\r\nd NOOP\r\n", small()),
      "command [a] LOGIN <LOGIN {8+}\r\n12345678 x> <{8+}\r\n12345678 x>\n"
      "bad [b] Literal too large\nbad [c] Literal too large\ncommand [d] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, RefusesTooManyOctetsOfLiteralsTogether) {
  const std::string four = "a X {8+}\r\n12345678 {8+}\r\n12345678 {8+}\r\n12345678 {8+}\r\n12345678";
  EXPECT_EQ(run(four + " {0+}\r\n\r\n", small()).substr(0, 11), "command [a]");
  EXPECT_EQ(run(four + " {1+}\r\n1\r\nb NOOP\r\n", small()),
            "bad [a] Literal too large\ncommand [b] NOOP <NOOP> <>\nidle\n");
}

TEST(CommandParser, RefusesLiteralSizesBeyond32Bits) {
  EXPECT_EQ(run("a APPEND x {4294967296}\r\nb SELECT {99999999999999999999999}\r\nc NOOP\r\n"),
            "bad [a] Literal too large\nbad [b] Literal too large\ncommand [c] NOOP <NOOP> <>\nidle\n");
  EXPECT_EQ(run("a APPEND x {4294967295}\r\n"), "{4294967295} [a] APPEND <APPEND x > <x >\nbusy\n");
  EXPECT_EQ(run("a APPEND x {4294967296+}\r\nb NOOP\r\n"), "too long [a] Literal too large\nbusy\n");
  EXPECT_EQ(run("a SELECT {99999999999999999999999+}\r\nb NOOP\r\n"),
            "too long [a] Literal too large\nbusy\n");
  EXPECT_EQ(run("a SELECT \x01 {99999999999999999999999+}\r\nb NOOP\r\n"),
            "too long [a] Literal too large\nbusy\n");
  EXPECT_EQ(run("a X \x01 {1+}\r\nx {99999999999999999999999+}\r\nb NOOP\r\n"),
            "bad [a] Control character in command\ntoo long [] Literal too large\nbusy\n");
}

TEST(CommandParser, TakesLeadingZerosInLiteralSizes) {
  EXPECT_EQ(run("a SELECT {000000000000000000000000000003+}\r\nfoo\r\n").substr(0, 18), "command [a] SELECT");
}

TEST(CommandParser, TakesALineAsLongAsTheLimitAndNoLonger) {
  const std::string longest = "a SELECT " + std::string(31, 'x');
  ASSERT_EQ(longest.size(), small().limits.max_command);
  EXPECT_EQ(run(longest + "\r\n" + longest + "\n", small()),
            "command [a] SELECT <" + longest.substr(2) + "> <" + longest.substr(9) + ">\n" +
                "command [a] SELECT <" + longest.substr(2) + "> <" + longest.substr(9) + ">\nidle\n");
  EXPECT_EQ(run(longest + "x\r\nb NOOP\r\n", small()), "too long [a] Command too long\nbusy\n");
}

TEST(CommandParser, StopsAsSoonAsAnIncompleteLineIsTooLong) {
  EXPECT_EQ(run("a SELECT " + std::string(32, 'x'), small()), "too long [a] Command too long\nbusy\n");
  EXPECT_EQ(run(std::string(100, 'x') + " NOOP", small()), "too long [] Command too long\nbusy\n");
  EXPECT_EQ(run("a SELECT " + std::string(31, 'x') + "\r\r\r\r\r", small()),
            "too long [a] Command too long\nbusy\n");
}

TEST(CommandParser, CountsAllLinesOfACommandButNoLiterals) {
  EXPECT_EQ(run("a SEARCH SUBJECT {8+}\r\n12345678 BODY {8+}\r\n12345678 ALL\r\n", small()).substr(0, 11),
            "command [a]");
  EXPECT_EQ(run("a SEARCH SUBJECT {8+}\r\n12345678 BODY {8+}\r\n12345678 ALL UNSEEN\r\n", small()),
            "too long [a] Command too long\nbusy\n");
}

TEST(CommandParser, LimitsWhatItSkips) {
  EXPECT_EQ(run("a X \x01 {1+}\r\nx " + std::string(100, 'y') + "\r\nb NOOP\r\n", small()),
            "bad [a] Control character in command\ntoo long [] Command too long\nbusy\n");
}

TEST(CommandParser, IsIdleOnlyBetweenCommands) {
  CommandParser parser(CommandLimits{});
  EXPECT_TRUE(parser.idle());
  std::string_view input = "a NO";
  EXPECT_EQ(parser.next(input), CommandParser::Event::kNeedMore);
  EXPECT_FALSE(parser.idle());
  input = "OP\r\n";
  EXPECT_EQ(parser.next(input), CommandParser::Event::kCommand);
  EXPECT_TRUE(parser.idle());
  parser.take();
  EXPECT_TRUE(parser.idle());
}

TEST(CommandParser, TakesRaisedLimits) {
  CommandParser parser(CommandLimits{.max_command = 10, .max_literal = 1});
  parser.set_limits({.max_command = 100, .max_literal = 10});
  std::string_view input = "a SELECT {5+}\r\nhello\r\n";
  EXPECT_EQ(parser.next(input), CommandParser::Event::kCommand);
}

TEST(CommandParser, ReadsLinesThatAreNoCommands) {
  using Event = CommandParser::Event;
  const auto script = [](const Chunks& chunks) {
    CommandParser parser(CommandLimits{.max_command = 20, .max_literal = 8});
    std::string out;
    bool raw = false;
    for (const std::string_view part : chunks) {
      const Chunk chunk(part);
      std::string_view input = chunk.view();
      for (;;) {
        const Event event = raw ? parser.next_line(input) : parser.next(input);
        if (event == Event::kNeedMore) break;
        if (event != Event::kCommand) {
          out += "other [" + parser.tag() + "] " + parser.problem() + "\n";
          break;
        }
        out += raw ? "line <" + std::string(parser.line()) + ">\n" : "command " + parser.take().tag + "\n";
        raw = !raw;
      }
    }
    return out + (parser.idle() ? "idle" : "busy");
  };
  EXPECT_EQ(every_split("a IDLE\r\nDONE\r\nb AUTHENTICATE x\n+/=\x01\nc IDLE\r\n\r\n", script),
            "command a\nline <DONE>\ncommand b\nline <+/=\x01>\ncommand c\nline <>\nidle");
  EXPECT_EQ(every_split("a IDLE\r\n01234567890123456789\r\nb IDLE\r\n012345678901234567890", script),
            "command a\nline <01234567890123456789>\ncommand b\nother [] Line too long\nbusy");
  EXPECT_EQ(every_split("a IDLE\r\nDO", script), "command a\nbusy");
}

TEST(CommandParser, GivesTheSameForGarbageHoweverItIsCut) {
  Garbage garbage(4711, {"a ",   "b2 ",  "APPEND ", "LOGIN ", "UID ",  "FETCH ", "box ",   "(",
                         ")",    "\"",   " {3}",    " {0}",   " {2+}", " {9+}",  " ~{4+}", " {99}",
                         "\r\n", "\r\n", "\n",      "\r",     "abc",   " ",      "INBOX",  "{5+}\r\n"});
  for (int i = 0; i < 1500; ++i) {
    CommandOptions options = small();
    options.refuse = i % 3 == 0;
    run(garbage.next(30), options);
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace imapmux::wire
