#include "wire/fetch_items.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

// The items as they are sent, and what else was found.
std::string parsed(std::string_view text, Seen seen = Seen::kAsAsked) {
  const Chunk copy(text);
  const auto found = parse_fetch_items(copy.view(), seen);
  if (!found) return "nothing";
  std::string out = found->items;
  if (found->uid) out += " uid";
  if (found->flags) out += " flags";
  if (found->sets_seen) out += " seen";
  if (found->renames_body) out += " rfc822";
  if (found->renames_body_text) out += " rfc822.text";
  if (found->renamed_from_0) out += " from0";
  return out;
}
std::string peeked(std::string_view text) {
  return parsed(text, Seen::kNever);
}

TEST(FetchItems, ReadsListsAndSingleItems) {
  EXPECT_EQ(parsed("FLAGS"), "(FLAGS) flags");
  EXPECT_EQ(parsed("(uid Flags)"), "(uid Flags) uid flags");
  EXPECT_EQ(parsed("(ENVELOPE INTERNALDATE RFC822.HEADER RFC822.SIZE BODY BODYSTRUCTURE)"),
            "(ENVELOPE INTERNALDATE RFC822.HEADER RFC822.SIZE BODY BODYSTRUCTURE)");
  EXPECT_EQ(parsed("body.peek[]"), "(body.peek[])");
  EXPECT_EQ(parsed("(FLAGS )"), "nothing");
  EXPECT_EQ(parsed("(FLAGS UID"), "nothing");
}

TEST(FetchItems, KnowsWhatTheTableOfAMailboxCanTell) {
  const auto only_flags = [](std::string_view text) {
    return parse_fetch_items(text, Seen::kAsAsked)->only_flags;
  };
  EXPECT_TRUE(only_flags("flags"));
  EXPECT_TRUE(only_flags("(UID Flags)"));
  EXPECT_TRUE(only_flags("(UID)"));
  EXPECT_FALSE(only_flags("(FLAGS RFC822.SIZE)"));
  EXPECT_FALSE(only_flags("(FLAGS BODY.PEEK[])"));
  EXPECT_FALSE(only_flags("FAST"));
}

TEST(FetchItems, ExpandsMacros) {
  EXPECT_EQ(parsed("ALL"), "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE) flags");
  EXPECT_EQ(parsed("fast"), "(FLAGS INTERNALDATE RFC822.SIZE) flags");
  EXPECT_EQ(peeked("Full"), "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY) flags");
  // RFC 3501, 6.4.5: a macro must be used by itself.
  EXPECT_EQ(parsed("(ALL)"), "nothing");
  EXPECT_EQ(parsed("(FAST UID)"), "nothing");
}

TEST(FetchItems, AddsFlagsWhereSeenIsSet) {
  EXPECT_EQ(parsed("BODY[]"), "(BODY[] FLAGS) seen");
  EXPECT_EQ(parsed("(UID body[1.mime]<0.5>)"), "(UID body[1.mime]<0.5> FLAGS) uid seen");
  EXPECT_EQ(parsed("(FLAGS RFC822)"), "(FLAGS RFC822) flags seen");
  EXPECT_EQ(parsed("RFC822.TEXT"), "(RFC822.TEXT FLAGS) seen");
  EXPECT_EQ(parsed("BINARY[1]"), "(BINARY[1] FLAGS) seen");
  for (const std::string_view harmless :
       {"BODY.PEEK[]", "BINARY.PEEK[1]", "BINARY.SIZE[1]", "RFC822.HEADER", "RFC822.SIZE", "BODY"}) {
    EXPECT_EQ(parsed(harmless), "(" + std::string(harmless) + ")");
    EXPECT_EQ(peeked(harmless), "(" + std::string(harmless) + ")");
  }
}

TEST(FetchItems, PeeksInAnExamineView) {
  EXPECT_EQ(peeked("(UID BODY[] FLAGS)"), "(UID BODY.PEEK[] FLAGS) uid flags");
  EXPECT_EQ(peeked("body[text]<0.100>"), "(body.PEEK[text]<0.100>)");
  EXPECT_EQ(peeked("(BINARY[1.2]<5.6> BODY[HEADER.FIELDS (\"A]\" B)])"),
            "(BINARY.PEEK[1.2]<5.6> BODY.PEEK[HEADER.FIELDS (\"A]\" B)])");
  EXPECT_EQ(peeked("RFC822"), "(BODY.PEEK[]) rfc822");
  EXPECT_EQ(peeked("(rfc822.text UID)"), "(BODY.PEEK[TEXT] UID) uid rfc822.text");
  EXPECT_EQ(peeked("(RFC822 RFC822.TEXT RFC822)"),
            "(BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[]) rfc822 rfc822.text");
}

TEST(FetchItems, KeepsAnswersApart) {
  EXPECT_EQ(peeked("(RFC822 BODY[])"), "(BODY.PEEK[]<0.2147483647> BODY.PEEK[]) rfc822 from0");
  EXPECT_EQ(
      peeked("(BODY.PEEK[TEXT] RFC822.TEXT RFC822)"),
      "(BODY.PEEK[TEXT] BODY.PEEK[TEXT]<0.2147483647> BODY.PEEK[]<0.2147483647>) rfc822 rfc822.text from0");
  // Told apart as they are.
  EXPECT_EQ(peeked("(RFC822 BODY[TEXT] BODY[]<0.9> BODY[1])"),
            "(BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[]<0.9> BODY.PEEK[1]) rfc822");
  EXPECT_EQ(peeked("(RFC822 BODY[] BODY[]<1.9> BODY[TEXT]<0.1>)"),
            "(BODY.PEEK[]<0.2147483647> BODY.PEEK[] BODY.PEEK[]<1.9> BODY.PEEK[TEXT]<0.1>) rfc822 from0");
  EXPECT_EQ(peeked("(RFC822 BODY[] BODY[]<00.9>)"), "nothing");
  EXPECT_EQ(peeked("(RFC822.TEXT BODY[text]<0.9> BODY[text])"), "nothing");
  EXPECT_EQ(parsed("(RFC822 BODY[] BODY[]<0.9>)"), "(RFC822 BODY[] BODY[]<0.9> FLAGS) seen");
}

TEST(FetchItems, KnowsSections) {
  for (const std::string_view section :
       {"", "1", "1.2.34", "HEADER", "text", "1.HEADER", "1.TEXT", "1.2.MIME", "HEADER.FIELDS (A)",
        "header.fields.not (\"a b\" {3}\r\n])\" c)", "3.HEADER.FIELDS ( A  \")\" )"}) {
    const std::string item = "BODY.PEEK[" + std::string(section) + "]";
    EXPECT_EQ(parsed(item), "(" + item + ")");
    EXPECT_EQ(parsed("(" + item + "<4294967295.1> UID)"), "(" + item + "<4294967295.1> UID) uid");
  }
  for (const std::string_view section : {" ",
                                         "0",
                                         "1.",
                                         ".1",
                                         "1..2",
                                         "01x",
                                         "1 ",
                                         "4294967296",
                                         "MIME",
                                         "FOO",
                                         "1.FOO",
                                         "HEADER.FIELDS",
                                         "HEADER.FIELDS ",
                                         "HEADER.FIELDS ()",
                                         "HEADER.FIELDS A",
                                         "HEADER.FIELDS(A)",
                                         "HEADER.FIELDS (A) ",
                                         "HEADER.FIELDS (A)(B)",
                                         "HEADER.FIELDS (A (B))",
                                         "HEADER.FIELDS (A",
                                         "HEADER.FIELDS (%)",
                                         "HEADER.FIELDS (~{1}\r\na)",
                                         "HEADER (A)",
                                         "TEXT.MIME",
                                         "]BODY[",
                                         "]",
                                         "["}) {
    EXPECT_EQ(parsed("BODY.PEEK[" + std::string(section) + "]"), "nothing") << section;
  }
  for (const std::string_view section : {"", "1", "1.2"}) {
    EXPECT_EQ(parsed("BINARY.SIZE[" + std::string(section) + "]"),
              "(BINARY.SIZE[" + std::string(section) + "])");
  }
  for (const std::string_view section : {"TEXT", "1.MIME", "1.", "HEADER.FIELDS (A)"}) {
    EXPECT_EQ(parsed("BINARY.PEEK[" + std::string(section) + "]"), "nothing") << section;
  }
}

TEST(FetchItems, KnowsParts) {
  for (const std::string_view partial : {"<0>", "<0.0>", "<.1>", "<0.>", "<0.1", "0.1>", "<0.1>>", "<-1.1>",
                                         "<0.4294967296>", "<0.1> ", "<>", "<", "x", "<0.1>x"}) {
    EXPECT_EQ(parsed("BODY[]" + std::string(partial)), "nothing") << partial;
  }
  EXPECT_EQ(parsed("BINARY.SIZE[1]<0.1>"), "nothing");
  EXPECT_EQ(parsed("RFC822<0.1>"), "nothing");
}

TEST(FetchItems, KnowsMalformedText) {
  for (const std::string_view text : {"",
                                      " ",
                                      "()",
                                      "(",
                                      ")",
                                      "FOO",
                                      "(UID FOO)",
                                      "(UID",
                                      "UID)",
                                      "(UID))",
                                      "UID FLAGS",
                                      "(UID) (FLAGS)",
                                      "(UID)(FLAGS)",
                                      "((UID))",
                                      "(UID) (CHANGEDSINCE 5)",
                                      "MODSEQ",
                                      "\"UID\"",
                                      "{3}\r\nUID",
                                      "(UID,FLAGS)",
                                      "BODY.PEEK",
                                      "BINARY",
                                      "BINARY.PEEK",
                                      "RFC822[]",
                                      "FLAGS[]",
                                      "[]",
                                      "BODY[",
                                      "BODY]",
                                      "BODY[]BODY[]",
                                      "BODY[HEADER.FIELDS (\"]",
                                      "BODY[\"]\"]",
                                      "(BODY[)",
                                      "FLAGS ",
                                      "(FLAGS) "}) {
    EXPECT_EQ(parsed(text), "nothing") << text;
    EXPECT_EQ(peeked(text), "nothing") << text;
  }
}

TEST(FetchItems, ForgivesSpacing) {
  EXPECT_EQ(parsed("(  UID   BODY.PEEK[])"), "(UID BODY.PEEK[]) uid");
}

TEST(FetchItems, TakesAnyGarbage) {
  Garbage garbage(12, {"(",     ")",        " ",     " ", "UID", "FLAGS", "RFC822", "RFC822.TEXT",
                       "BODY",  "BINARY",   ".PEEK", "[", "]",   "[]",    "[TEXT]", "HEADER.FIELDS (",
                       "\"x\"", "{1}\r\nx", "<0.1>", "1", ".",   "ALL"});
  size_t fine = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string text = garbage.next(6);
    for (const Seen seen : {Seen::kAsAsked, Seen::kNever}) {
      const std::string whole = parsed(text, seen);
      if (whole == "nothing") continue;
      ++fine;
      // What is sent can be read again, and asks for the same.
      const auto again = parse_fetch_items(parse_fetch_items(text, seen)->items, Seen::kNever);
      ASSERT_TRUE(again) << text;
      if (seen == Seen::kNever) {
        ASSERT_FALSE(again->renames_body || again->renames_body_text || again->sets_seen) << text;
      }
    }
  }
  EXPECT_GT(fine, 500U);
}

// Whatever it was asked before.
TEST(FetchItems, RememberedAreWhatTheyWouldBe) {
  std::vector<std::string> texts = {"FLAGS",        "flags", "RFC822", "(RFC822 BODY[])",
                                    "(BODY[] UID)", "(",     "",       "ALL"};
  std::string fields;
  for (int i = 0; i < 60; ++i) {
    fields += (i == 0 ? "X-" : " X-") + std::to_string(i);
    texts.push_back("(UID BODY[HEADER.FIELDS (" + fields + ")])");  // of any length
  }
  FetchItemsMemory memory;
  std::mt19937 random(7);
  for (int i = 0; i < 5'000; ++i) {
    const auto& text = texts[random() % texts.size()];
    const auto seen = random() % 2 == 0 ? Seen::kAsAsked : Seen::kNever;
    const auto expected = parse_fetch_items(text, seen);
    FetchItems own;
    const auto* found = memory.parse(text, seen, own);
    ASSERT_EQ(found != nullptr, expected.has_value()) << text;
    if (!found) continue;
    EXPECT_EQ(found->items, expected->items);
    EXPECT_EQ(found->uid, expected->uid);
    EXPECT_EQ(found->flags, expected->flags);
    EXPECT_EQ(found->only_flags, expected->only_flags);
    EXPECT_EQ(found->sets_seen, expected->sets_seen);
    EXPECT_EQ(found->renames_body, expected->renames_body);
    EXPECT_EQ(found->renamed_from_0, expected->renamed_from_0);
  }
}

// A list of 64 KB becomes one of megabytes.
TEST(FetchItems, LongListsAreNotKept) {
  std::string text = "(BODY[]";
  for (int i = 0; i < 8'000; ++i) text += " RFC822";
  text += ")";
  FetchItemsMemory memory;
  FetchItems own;
  EXPECT_EQ(memory.parse(text, Seen::kNever, own), &own);
  EXPECT_EQ(own.items, parse_fetch_items(text, Seen::kNever)->items);
  EXPECT_NE(memory.parse("FLAGS", Seen::kNever, own), &own);
}

}  // namespace
}  // namespace imapmux::wire
