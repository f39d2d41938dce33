#include "wire/response_parser.h"

#include <gtest/gtest.h>

#include <string>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

std::string run(std::string_view input, ResponseLimits limits = {}) {
  return every_split(input, [&](const Chunks& chunks) { return response_transcript(chunks, limits); });
}

ResponseLimits small() {
  return {.max_line = 60, .max_inline = 4};
}

// The only response in `input`, which must outlive it.
Response parse(std::string_view input) {
  run(input);
  static ResponseParser parser;
  parser = ResponseParser();
  EXPECT_EQ(parser.next(input), ResponseParser::Event::kResponse) << input;
  EXPECT_TRUE(input.empty());
  return parser.response();
}

bool is_malformed(std::string_view input, ResponseLimits limits = {}) {
  return run(input, limits).find("malformed: ") != std::string::npos;
}

TEST(ResponseParser, KnowsEveryName) {
  const std::pair<std::string_view, ResponseName> names[] = {
      {"* OK x", ResponseName::kOk},
      {"* no x", ResponseName::kNo},
      {"* Bad x", ResponseName::kBad},
      {"* BYE x", ResponseName::kBye},
      {"* PREAUTH x", ResponseName::kPreauth},
      {"* CAPABILITY IMAP4REV1", ResponseName::kCapability},
      {"* FLAGS (\\Seen)", ResponseName::kFlags},
      {"* LIST () \"/\" x", ResponseName::kList},
      {"* LSUB () NIL x", ResponseName::kLsub},
      {"* STATUS x (UIDNEXT 3)", ResponseName::kStatus},
      {"* search 1 2", ResponseName::kSearch},
      {"* SEARCH", ResponseName::kSearch},
      {"* ESEARCH (TAG \"a\") ALL 1", ResponseName::kEsearch},
      {"* SORT 3 2", ResponseName::kSort},
      {"* THREAD (1)(2)", ResponseName::kThread},
      {"* NAMESPACE NIL NIL NIL", ResponseName::kNamespace},
      {"* ENABLED CONDSTORE", ResponseName::kEnabled},
      {"* ID NIL", ResponseName::kId},
      {"* 3 EXISTS", ResponseName::kExists},
      {"* 0 recent", ResponseName::kRecent},
      {"* 1 Expunge", ResponseName::kExpunge},
      {"* 2 EXPUNGED", ResponseName::kExpunge},
      {"* 1 FETCH (UID 3)", ResponseName::kFetch},
      {"* VANISHED 1:3", ResponseName::kVanished},
      {"* QUOTA \"\" (STORAGE 1 2)", ResponseName::kOther},
      {"* XFOO", ResponseName::kOther},
      {"* EXISTS", ResponseName::kOther},
      {"* 5 SEARCH", ResponseName::kOther},
      {"* 5", ResponseName::kOther},
      {"* FETCHES", ResponseName::kOther},
      {"* NAMESPACES", ResponseName::kOther},
  };
  for (const auto& [line, name] : names) {
    const Response response = parse(std::string(line) + "\r\n");
    EXPECT_EQ(response.name, name) << line;
    EXPECT_EQ(response.kind, Response::Kind::kUntagged);
  }
}

TEST(ResponseParser, GivesNumberAndArguments) {
  const std::string line = "* 4294967295 FETCH (FLAGS (\\Seen) UID 7)";
  const std::string input = line + "\r\n";
  const Response response = parse(input);
  EXPECT_TRUE(response.has_number);
  EXPECT_EQ(response.number, 4294967295U);
  EXPECT_EQ(response.arguments, "(FLAGS (\\Seen) UID 7)");
  EXPECT_EQ(response.line, line);
  EXPECT_FALSE(response.literal_follows);
}

TEST(ResponseParser, ForgivesWhatServersGetWrong) {
  EXPECT_EQ(run("* SEARCH 1 2 \n* 3 EXISTS  \r\n*  1  FETCH(UID 3)\r\n"),
            "untagged name=11 <* SEARCH 1 2> arguments=<1 2>\n"
            "untagged name=18 number=3 <* 3 EXISTS> arguments=<>\n"
            "untagged name=21 number=1 <*  1  FETCH(UID 3)> arguments=<(UID 3)>\nidle\n");
}

TEST(ResponseParser, ReadsTaggedResponses) {
  const std::string input = "A12 ok [READ-WRITE] done\r\n";
  const Response response = parse(input);
  EXPECT_EQ(response.kind, Response::Kind::kTagged);
  EXPECT_EQ(response.name, ResponseName::kOk);
  EXPECT_EQ(response.tag, "A12");
  EXPECT_EQ(response.code, "READ-WRITE");
  EXPECT_EQ(response.code_arguments, "");
  EXPECT_EQ(response.arguments, "done");
}

TEST(ResponseParser, ReadsResponseCodes) {
  struct Case {
    std::string_view text, code, code_arguments, human;
  };
  const Case cases[] = {
      {"[UIDVALIDITY 3857529045] UIDs valid", "UIDVALIDITY", "3857529045", "UIDs valid"},
      {"[PERMANENTFLAGS (\\Deleted \\*)] Limited", "PERMANENTFLAGS", "(\\Deleted \\*)", "Limited"},
      {"[BADCHARSET (\"a]b\" c)] no", "BADCHARSET", "(\"a]b\" c)", "no"},
      {"[x \"a\\\"]b\"]y", "x", "\"a\\\"]b\"", "y"},
      {"[alert]", "alert", "", ""},
      {"[ALERT]text", "ALERT", "", "text"},
      {"[BROKEN \"] text", "BROKEN", "\"", "text"},
      {"[UNCLOSED text", "", "", "[UNCLOSED text"},
      {"[] text", "", "", "[] text"},
      {"no code [X]", "", "", "no code [X]"},
      {"", "", "", ""},
      {"[COPYUID 38505 304,319:320 3956:3958] Done", "COPYUID", "38505 304,319:320 3956:3958", "Done"},
  };
  for (const Case& c : cases) {
    const std::string input = "* OK " + std::string(c.text) + "\r\n";
    const Response response = parse(input);
    EXPECT_EQ(response.name, ResponseName::kOk);
    EXPECT_EQ(response.code, c.code) << input;
    EXPECT_EQ(response.code_arguments, c.code_arguments) << input;
    EXPECT_EQ(response.arguments, c.human) << input;
  }
}

TEST(ResponseParser, TakesAStatusWithoutText) {
  EXPECT_EQ(run("* OK\r\na1 NO\r\n* BYE \r\n"),
            "untagged name=1 <* OK> arguments=<>\ntagged [a1] name=2 <a1 NO> arguments=<>\n"
            "untagged name=4 <* BYE> arguments=<>\nidle\n");
}

TEST(ResponseParser, ReadsContinuations) {
  EXPECT_EQ(run("+\r\n+ \r\n+ idling\r\n+ PDE+\n"),
            "continuation name=0 <+> arguments=<>\ncontinuation name=0 <+> arguments=<>\n"
            "continuation name=0 <+ idling> arguments=<idling>\ncontinuation name=0 <+ PDE+> "
            "arguments=<PDE+>\nidle\n");
}

TEST(ResponseParser, SeesNoLiteralsInTextForPeople) {
  EXPECT_EQ(run("* OK {5}\r\na1 NO x {5}\r\n+ go {5}\r\n* BAD [X] {3}\r\n* 1 EXISTS\r\n"),
            "untagged name=1 <* OK {5}> arguments=<{5}>\ntagged [a1] name=2 <a1 NO x {5}> arguments=<x {5}>\n"
            "continuation name=0 <+ go {5}> arguments=<go {5}>\n"
            "untagged name=3 <* BAD [X] {3}> arguments=<{3}> code=<X> <>\n"
            "untagged name=18 number=1 <* 1 EXISTS> arguments=<>\nidle\n");
}

TEST(ResponseParser, KeepsSmallLiteralsInTheText) {
  EXPECT_EQ(run("* 1 FETCH (BODY[1] {4}\r\na\r\nb X {0}\n)\r\n* LIST () \"/\" {3}\r\nfoo\r\n", small()),
            "untagged name=21 number=1 <* 1 FETCH (BODY[1] {4}\r\na\r\nb X {0}\r\n)> "
            "arguments=<(BODY[1] {4}\r\na\r\nb X {0}\r\n)>\n"
            "untagged name=8 <* LIST () \"/\" {3}\r\nfoo> arguments=<() \"/\" {3}\r\nfoo>\nidle\n");
}

TEST(ResponseParser, StreamsLargeLiterals) {
  EXPECT_EQ(run("* 1 FETCH (UID 9 BODY[] {5}\r\nhello FLAGS ())\r\na OK x\r\n", small()),
            "untagged name=21 number=1 <* 1 FETCH (UID 9 BODY[] > arguments=<(UID 9 BODY[] > then {5}\n"
            "data <hello>\ntext < FLAGS ())>\ntagged [a] name=1 <a OK x> arguments=<x>\nidle\n");
}

TEST(ResponseParser, StreamsSeveralLiteralsOfOneResponse) {
  EXPECT_EQ(run("* 1 FETCH (A {2}\r\nxy B ~{5}\r\n12345 C {1}\r\nz D {6}\r\n\r\n\r\n\r\n E {0}\r\n)\r\n* 1 "
                "EXISTS\r\n",
                small()),
            "untagged name=21 number=1 <* 1 FETCH (A {2}\r\nxy B > arguments=<(A {2}\r\nxy B > then ~{5}\n"
            "data <12345>\ntext < C {1}\r\nz D > then {6}\ndata <\r\n\r\n\r\n>\ntext < E {0}\r\n)>\n"
            "untagged name=18 number=1 <* 1 EXISTS> arguments=<>\nidle\n");
}

TEST(ResponseParser, DoesNotLimitStreamedLiterals) {
  const std::string body(500, 'x');
  EXPECT_EQ(run("* 1 FETCH (BODY[] {500}\r\n" + body + ")\r\n", small()),
            "untagged name=21 number=1 <* 1 FETCH (BODY[] > arguments=<(BODY[] > then {500}\ndata <" + body +
                ">\ntext <)>\nidle\n");
}

TEST(ResponseParser, GivesPiecesOfTheInputItself) {
  ResponseParser parser({.max_line = 100, .max_inline = 2});
  const std::string octets = "* 1 FETCH (B {5}\r\nhello)\r\n* 2 EXISTS\r\n";
  std::string_view input = octets;
  const auto is_part = [&](std::string_view view) {
    return view.data() >= octets.data() && view.data() + view.size() <= octets.data() + octets.size();
  };
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kResponse);
  EXPECT_TRUE(is_part(parser.response().line));
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kLiteralData);
  EXPECT_TRUE(is_part(parser.data()));
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kText);
  EXPECT_TRUE(is_part(parser.text()));
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kResponse);
  EXPECT_TRUE(is_part(parser.response().line));
}

TEST(ResponseParser, RefusesWhatIsNoResponse) {
  for (const std::string_view line :
       {"hello world", "*", "* ", "*x OK", "", " * OK", "a1", "a1 MAYBE x", "a1 BYE x", "a1 PREAUTH",
        "+OK POP3 ready", "HTTP/1.1 400 Bad Request", "220 smtp.example ESMTP", "* 4294967296 EXISTS",
        "a+b OK x", "(a OK", "\x16\x03\x01"}) {
    EXPECT_TRUE(is_malformed(std::string(line) + "\r\n* OK x\r\n")) << line;
  }
}

TEST(ResponseParser, ParsesNothingMoreOnceMalformed) {
  EXPECT_EQ(run("garbage\r\n* OK x\r\n"),
            "malformed: a tagged response is neither OK nor NO nor BAD\nbusy\n");
}

TEST(ResponseParser, RefusesAbsurdLiterals) {
  EXPECT_TRUE(is_malformed("* 1 FETCH (BODY[] {9223372036854775808}\r\n"));
  EXPECT_TRUE(is_malformed("* 1 FETCH (BODY[] {99999999999999999999999999}\r\n"));
  EXPECT_FALSE(is_malformed("* 1 FETCH (BODY[] {9223372036854775807}\r\n"));
}

TEST(ResponseParser, LimitsALine) {
  const std::string longest = "* OK " + std::string(55, 'x');
  ASSERT_EQ(longest.size(), small().max_line);
  EXPECT_FALSE(is_malformed(longest + "\r\n" + longest + "\n", small()));
  EXPECT_TRUE(is_malformed(longest + "x\r\n", small()));
  EXPECT_TRUE(is_malformed(longest + "xxx", small()));
}

TEST(ResponseParser, LimitsAResponseWithItsInlinedLiteralsAndTexts) {
  std::string input = "* 1 FETCH (";
  for (int i = 0; i < 6; ++i) input += " {4}\r\nabcd";
  EXPECT_TRUE(is_malformed(input + ")\r\n", small()));
  input = "* 1 FETCH (";
  for (int i = 0; i < 20; ++i) input += " X {5}\r\nabcde";
  EXPECT_TRUE(is_malformed(input + ")\r\n", small()));
}

TEST(ResponseParser, IsIdleOnlyBetweenResponses) {
  ResponseParser parser({.max_line = 100, .max_inline = 2});
  EXPECT_TRUE(parser.idle());
  std::string_view input = "* 1 FE";
  parser.next(input);
  EXPECT_FALSE(parser.idle());
  input = "TCH (B {3}\r\n";
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kResponse);
  EXPECT_FALSE(parser.idle());
  input = "abc";
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kLiteralData);
  EXPECT_FALSE(parser.idle());
  input = ")\r\n";
  ASSERT_EQ(parser.next(input), ResponseParser::Event::kText);
  EXPECT_TRUE(parser.idle());
}

// Conversations as servers hold them.
TEST(ResponseParser, ReadsAGoldenSelect) {
  EXPECT_EQ(
      run("* OK [CAPABILITY IMAP4REV1 LITERAL+ AUTH=LOGIN] localhost IMAP4rev1 2010.417 ready\r\n"
          "* 2 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1763802994] UID validity status\r\n"
          "* OK [UIDNEXT 3] Predicted next UID\r\n* FLAGS (\\Answered \\Seen)\r\n"
          "* OK [PERMANENTFLAGS (\\* \\Seen)] Permanent flags\r\n* OK [UNSEEN 1] first unseen\r\n"
          "m1 OK [READ-WRITE] SELECT completed\r\n"
          "* BYE Killed (lost mailbox lock)\r\n"),
      "untagged name=1 <* OK [CAPABILITY IMAP4REV1 LITERAL+ AUTH=LOGIN] localhost IMAP4rev1 2010.417 ready> "
      "arguments=<localhost IMAP4rev1 2010.417 ready> code=<CAPABILITY> <IMAP4REV1 LITERAL+ AUTH=LOGIN>\n"
      "untagged name=18 number=2 <* 2 EXISTS> arguments=<>\n"
      "untagged name=19 number=0 <* 0 RECENT> arguments=<>\n"
      "untagged name=1 <* OK [UIDVALIDITY 1763802994] UID validity status> arguments=<UID validity status> "
      "code=<UIDVALIDITY> <1763802994>\n"
      "untagged name=1 <* OK [UIDNEXT 3] Predicted next UID> arguments=<Predicted next UID> code=<UIDNEXT> "
      "<3>\n"
      "untagged name=7 <* FLAGS (\\Answered \\Seen)> arguments=<(\\Answered \\Seen)>\n"
      "untagged name=1 <* OK [PERMANENTFLAGS (\\* \\Seen)] Permanent flags> arguments=<Permanent flags> "
      "code=<PERMANENTFLAGS> <(\\* \\Seen)>\n"
      "untagged name=1 <* OK [UNSEEN 1] first unseen> arguments=<first unseen> code=<UNSEEN> <1>\n"
      "tagged [m1] name=1 <m1 OK [READ-WRITE] SELECT completed> arguments=<SELECT completed> "
      "code=<READ-WRITE> <>\n"
      "untagged name=4 <* BYE Killed (lost mailbox lock)> arguments=<Killed (lost mailbox lock)>\nidle\n");
}

TEST(ResponseParser, GivesTheSameForGarbageHoweverItIsCut) {
  Garbage garbage(815, {"* ",
                        "a1 ",
                        "+ ",
                        "OK ",
                        "NO ",
                        "1 ",
                        "FETCH ",
                        "EXISTS",
                        "BODY[] ",
                        "{3}",
                        "{5}",
                        "{0}",
                        "~{6}",
                        "\r\n",
                        "\r\n",
                        "\r\n*",
                        "\n* ",
                        "\r",
                        "[",
                        "]",
                        "\"",
                        "(",
                        ") ",
                        "abc",
                        " ",
                        "hello",
                        "* 1 FETCH (X {5}\r\nhello",
                        "* OK [A \"]\"] t\r\n",
                        "{4}\r\n"});
  for (int i = 0; i < 1500; ++i) {
    run("* " + garbage.next(30), small());
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace imapmux::wire
