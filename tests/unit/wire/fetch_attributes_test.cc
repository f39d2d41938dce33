#include "wire/fetch_attributes.h"

#include <gtest/gtest.h>

#include "unit/wire/every_split.h"
#include "unit/wire/fetch_pieces.h"

namespace imapmux::wire {
namespace {

constexpr FetchWishes kAll;
constexpr FetchWishes kNoUid{.uid = false};
constexpr FetchWishes kNoFlags{.flags = false};
constexpr FetchWishes kNeither{.uid = false, .flags = false};
constexpr FetchWishes kRenamed{.body_is_rfc822 = true, .body_text_is_rfc822_text = true};
constexpr FetchWishes kRenamedFrom0{
    .body_is_rfc822 = true, .body_text_is_rfc822_text = true, .renamed_from_0 = true};

// Every choice of literals that are streamed says the same, and so does who only learns from it.
std::string rewritten(std::string_view text, FetchWishes wishes = kAll) {
  const FetchLiterals fetch = find_literals(text);
  EXPECT_EQ(fetch.text, text) << "no response";
  const std::string whole = rewrite_fetch(fetch, wishes, 0);
  for (unsigned streamed = 1; streamed < 1U << std::min<size_t>(fetch.spans.size(), 8); ++streamed) {
    EXPECT_EQ(rewrite_fetch(fetch, wishes, streamed), whole) << "streamed " << streamed << " of: " << text;
  }
  const std::string learnt = learn_from_fetch(text);
  EXPECT_TRUE(whole.contains(learnt)) << text << " -> " << whole << " but learnt" << learnt;
  return whole;
}

TEST(FetchAttributes, PassesOnAndLearns) {
  EXPECT_EQ(rewritten("(UID 5 FLAGS (\\Seen foo))"),
            "(UID 5 FLAGS (\\Seen foo)) uid=5 flags=(\\Seen foo) attributes=2");
  EXPECT_EQ(rewritten("(flags () Uid 4294967295)"),
            "(flags () Uid 4294967295) uid=4294967295 flags=() attributes=2");
  EXPECT_EQ(
      rewritten("(RFC822.SIZE 44827 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" MODSEQ (12) PREVIEW NIL)"),
      "(RFC822.SIZE 44827 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" MODSEQ (12) PREVIEW NIL) uid=0 "
      "attributes=4");
  EXPECT_EQ(rewritten("(FLAGS (a) FLAGS (b) UID 5 UID 5)"),
            "(FLAGS (a) FLAGS (b) UID 5 UID 5) uid=5 flags=(b) attributes=4");
}

TEST(FetchAttributes, TakesOutWhatWasNotAskedFor) {
  EXPECT_EQ(rewritten("(UID 5 FLAGS (\\Seen))", kNoUid),
            "(FLAGS (\\Seen)) uid=5 flags=(\\Seen) attributes=1");
  EXPECT_EQ(rewritten("(FLAGS (\\Seen) UID 5)", kNoUid),
            "(FLAGS (\\Seen)) uid=5 flags=(\\Seen) attributes=1");
  EXPECT_EQ(rewritten("(UID 5 FLAGS (\\Seen))", kNoFlags), "(UID 5) uid=5 flags=(\\Seen) attributes=1");
  EXPECT_EQ(rewritten("(X 1 UID 5 Y 2 FLAGS () Z 3)", kNeither), "(X 1 Y 2 Z 3) uid=5 flags=() attributes=3");
  EXPECT_EQ(rewritten("(UID 5 FLAGS (\\Seen))", kNeither), "() uid=5 flags=(\\Seen) attributes=0");
  EXPECT_EQ(rewritten("()"), "() uid=0 attributes=0");
}

TEST(FetchAttributes, TakesOutBeforeAndBehindLiterals) {
  EXPECT_EQ(rewritten("(UID 5 BODY[] {5}\r\nh(l\"o FLAGS (\\Seen))", kNeither),
            "(BODY[] {5}\r\nh(l\"o) uid=5 flags=(\\Seen) attributes=1");
  EXPECT_EQ(rewritten("(BODY[] {5}\r\nhello UID 5)", kNoUid), "(BODY[] {5}\r\nhello) uid=5 attributes=1");
  EXPECT_EQ(
      rewritten("(BODY[1] {1}\r\n1 UID 5 BINARY[2] ~{1}\r\n2 FLAGS (a) BODY[3] {0}\r\n RFC822.SIZE 3)",
                kNeither),
      "(BODY[1] {1}\r\n1 BINARY[2] ~{1}\r\n2 BODY[3] {0}\r\n RFC822.SIZE 3) uid=5 flags=(a) attributes=4");
  EXPECT_EQ(rewritten("(UID 5 BODY[] {3}\r\nUID)", kNoUid), "(BODY[] {3}\r\nUID) uid=5 attributes=1");
}

TEST(FetchAttributes, KnowsLiteralsInLists) {
  const std::string envelope =
      "ENVELOPE (\"date\" {9}\r\na (subject ((\"A \\\") x\" NIL {3}\r\na)b \"example.org\")) NIL "
      "(({2}\r\n\"\\ NIL "
      "NIL NIL)) NIL NIL NIL NIL {4}\r\n<id>)";
  EXPECT_EQ(rewritten("(FLAGS (x) " + envelope + " UID 5)", kNeither),
            "(" + envelope + ") uid=5 flags=(x) attributes=1");
  const std::string structure =
      "BODYSTRUCTURE ((\"text\" \"plain\" (\"charset\" {5}\r\nutf-8) NIL NIL {4}\r\n7bit 5 1)(\"a)\" \"b(\" "
      "NIL NIL "
      "NIL \"8bit\" 3) \"mixed\")";
  EXPECT_EQ(rewritten("(UID 5 " + structure + " FLAGS ())", kNeither),
            "(" + structure + ") uid=5 flags=() attributes=1");
  // The last octet of a list is a literal's.
  EXPECT_EQ(rewritten("(X ({1}\r\n)) UID 5)", kNoUid), "(X ({1}\r\n))) uid=5 attributes=1");
}

TEST(FetchAttributes, KnowsStringsInSections) {
  const std::string quoted = "BODY[HEADER.FIELDS (\"A)\" \"]\" B)] {2}\r\n\r\n";
  EXPECT_EQ(rewritten("(UID 5 " + quoted + " FLAGS ())", kNeither),
            "(" + quoted + ") uid=5 flags=() attributes=1");
  const std::string literals = "BODY[HEADER.FIELDS ({2}\r\nA] B {2}\r\n]))]<0> {2}\r\n\r\n";
  EXPECT_EQ(rewritten("(" + literals + " UID 5)", kNoUid), "(" + literals + ") uid=5 attributes=1");
  EXPECT_EQ(rewritten("(BODY[UID 5 FLAGS] NIL)", kNeither), "(BODY[UID 5 FLAGS] NIL) uid=0 attributes=1");
}

TEST(FetchAttributes, GivesBackNames) {
  EXPECT_EQ(rewritten("(BODY[] {2}\r\nhi UID 5)", {.uid = false, .body_is_rfc822 = true}),
            "(RFC822 {2}\r\nhi) uid=5 attributes=1");
  EXPECT_EQ(rewritten("(body[] NIL body[text] \"x\")", kRenamed),
            "(RFC822 NIL RFC822.TEXT \"x\") uid=0 attributes=2");
  EXPECT_EQ(rewritten("(BODY[TEXT] {2}\r\nhi BODY[] {2}\r\nhi)", {.body_text_is_rfc822_text = true}),
            "(RFC822.TEXT {2}\r\nhi BODY[] {2}\r\nhi) uid=0 attributes=2");
  const std::string others =
      "(BODY[]<0> {2}\r\nhi BODY[TEXT]<0> NIL BODY[1] NIL BODY[1.TEXT] NIL BODY[HEADER] {0}\r\n BODY "
      "(\"BODY[]\") X "
      "BODY[])";
  EXPECT_EQ(rewritten(others, kRenamed), others + " uid=0 attributes=7");
}

TEST(FetchAttributes, GivesBackNamesOfPartsFrom0) {
  EXPECT_EQ(
      rewritten("(BODY[] {2}\r\nhi BODY[]<0> {2}\r\nhi BODY[TEXT] NIL BODY[TEXT]<0> NIL)", kRenamedFrom0),
      "(BODY[] {2}\r\nhi RFC822 {2}\r\nhi BODY[TEXT] NIL RFC822.TEXT NIL) uid=0 attributes=4");
  EXPECT_EQ(rewritten("(BODY[]<10> NIL)", kRenamedFrom0), "(BODY[]<10> NIL) uid=0 attributes=1");
}

TEST(FetchAttributes, ForgivesSpacing) {
  EXPECT_EQ(rewritten("(  UID   5   FLAGS  (  \\Seen   b )   X  {1}\r\na  )"),
            "(UID   5 FLAGS  (  \\Seen   b ) X  {1}\r\na) uid=5 flags=(  \\Seen   b ) attributes=3");
  EXPECT_EQ(rewritten("(FLAGS(\\Seen)X(1)Y \"a\"UID 5 Z {1}\r\nzW 5)", kNeither),
            "(X(1) Y \"a\" Z {1}\r\nz W 5) uid=5 flags=(\\Seen) attributes=4");
}

TEST(FetchAttributes, LeavesFlagsAlone) {
  EXPECT_EQ(rewritten("(FLAGS (a[b \\Seen c]d ~x) UID 5)"),
            "(FLAGS (a[b \\Seen c]d ~x) UID 5) uid=5 flags=(a[b \\Seen c]d ~x) attributes=2");
}

TEST(FetchAttributes, KnowsMalformedText) {
  for (const std::string_view text : {"",
                                      " ",
                                      "UID 5",
                                      " (UID 5)",
                                      "(",
                                      "(UID",
                                      "(UID)",
                                      "(UID 5",
                                      "(UID 5))",
                                      "(UID 5) ",
                                      "(UID 0)",
                                      "(UID -5)",
                                      "(UID 4294967296)",
                                      "(UID 5FLAGS ())",
                                      "(UID \"5\")",
                                      "(UID {1}\r\n5)",
                                      "(UID 5 UID 6)",
                                      "(UID (5))",
                                      "(UID NIL)",
                                      "(FLAGS)",
                                      "(FLAGS \\Seen)",
                                      "(FLAGS NIL)",
                                      "(FLAGS (\\Seen)",
                                      "(FLAGS (a (b)))",
                                      "(FLAGS (\"a\"))",
                                      "(FLAGS ({1}\r\na))",
                                      "(FLAGS {1}\r\na)",
                                      "(X)",
                                      "(X )",
                                      "(X (a)",
                                      "(X \"a)",
                                      "(X \"a\\\")",
                                      "(\"X\" 5)",
                                      "((X) 5)",
                                      "(X {5)",
                                      "(X {5})",
                                      "(X {1}\r\na",
                                      "({1}\r\na 5)",
                                      "(X 5 {1}\r\na)",
                                      "(X {1}\r\na {1}\r\na)",
                                      "(BODY[] )",
                                      "(BODY[)",
                                      "(BODY[ NIL)",
                                      "(BODY[]{1}\r\na)",
                                      "(BODY[]~{1}\r\na)",
                                      "(X 5~{1}\r\na)",
                                      "(X ~\"a\")",
                                      "(BODY[\"] NIL)",
                                      "(BODY[{x}] NIL)",
                                      "(X \ra)",
                                      "(X a\r)",
                                      "(X (\r))",
                                      "(UID 5)({1}\r\na",
                                      "(UID 5){1}\r\na"}) {
    EXPECT_EQ(rewritten(text), "malformed") << text;
  }
}

TEST(FetchAttributes, SaysNothingMoreOnceMalformed) {
  FetchAttributes attributes;
  std::string out;
  EXPECT_FALSE(attributes.piece("(UID 5)", out));  // not begun
  attributes.begin({});
  EXPECT_FALSE(attributes.piece("(UID 0)", out));
  EXPECT_FALSE(attributes.piece("(UID 5)", out));
  EXPECT_FALSE(attributes.piece(" UID 5)", out));
  EXPECT_FALSE(attributes.complete());
}

TEST(FetchAttributes, KnowsWhatIsLeftBeforeALiteral) {
  FetchAttributes attributes;
  std::string out;
  attributes.begin(kNeither);
  EXPECT_TRUE(attributes.nothing_left());
  EXPECT_TRUE(attributes.piece("(UID 5 BODY[] ", out));
  EXPECT_EQ(out, "(BODY[] ");
  EXPECT_EQ(attributes.uid(), 5U);
  EXPECT_FALSE(attributes.has_flags());
  EXPECT_FALSE(attributes.nothing_left());
  EXPECT_FALSE(attributes.complete());
  out.clear();
  EXPECT_TRUE(attributes.piece(" FLAGS (\\Seen) X 1)", out));
  EXPECT_EQ(out, " X 1)");
  EXPECT_TRUE(attributes.complete());
}

TEST(FetchAttributes, BeginsAnew) {
  FetchAttributes attributes;
  std::string out;
  attributes.begin(kRenamed);
  EXPECT_TRUE(attributes.piece("(UID 5 FLAGS (a) X (((", out));
  attributes.begin(kAll);
  EXPECT_EQ(attributes.uid(), 0U);
  EXPECT_FALSE(attributes.has_flags());
  out.clear();
  EXPECT_TRUE(attributes.piece("(BODY[] NIL Y ((1) 2))", out));
  EXPECT_EQ(out, "(BODY[] NIL Y ((1) 2))");
  EXPECT_TRUE(attributes.complete());
}

TEST(FetchAttributes, NestsAsDeepAsTheBackendLikes) {
  constexpr size_t kDeep = 100'000;
  const std::string deep = "(X " + std::string(kDeep, '(') + std::string(kDeep, ')') + " UID 5)";
  EXPECT_TRUE(rewritten(deep, kNoUid).ends_with(")) uid=5 attributes=1"));
}

TEST(FetchAttributes, TakesAnyGarbage) {
  Garbage garbage(11, {"(",           "(",           ")",
                       ")",           " ",           " ",
                       " ",           "\"x\"",       "{1}\r\nx",
                       "~{2}\r\n)\"", "UID 5",       "FLAGS (\\Seen)",
                       "BODY[] ",     "BODY[TEXT] ", "BODY[HEADER.FIELDS (",
                       ")]",          "<0>",         "[",
                       "]",           "NIL",         "X ",
                       "\\\"",        "UID ",        "FLAGS ",
                       "{",           "\r\n"});
  size_t fine = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string text = "(" + garbage.next(12) + (i % 4 == 0 ? "" : ")");
    const FetchLiterals fetch = find_literals(text);
    const std::string whole = rewrite_fetch(fetch, kNeither, 0);
    for (unsigned streamed = 1; streamed < 1U << std::min<size_t>(fetch.spans.size(), 4); ++streamed) {
      ASSERT_EQ(rewrite_fetch(fetch, kNeither, streamed), whole) << text;
    }
    ASSERT_TRUE(whole.contains(learn_from_fetch(fetch.text))) << text;
    if (whole != "malformed") ++fine;
  }
  EXPECT_GT(fine, 500U);
}

}  // namespace
}  // namespace imapmux::wire
