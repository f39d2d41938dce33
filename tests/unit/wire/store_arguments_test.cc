#include "wire/store_arguments.h"

#include <gtest/gtest.h>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

// As it would be sent.
std::string parsed(std::string_view text) {
  const Chunk copy(text);
  const auto store = parse_store(copy.view());
  if (!store) return "nothing";
  return std::string(name_of(store->operation)) + (store->silent ? ".SILENT " : " ") + store->flags;
}

TEST(StoreArguments, KnowsOperations) {
  EXPECT_EQ(parsed("FLAGS (\\Seen)"), "FLAGS (\\Seen)");
  EXPECT_EQ(parsed("+flags (\\Seen)"), "+FLAGS (\\Seen)");
  EXPECT_EQ(parsed("-Flags.Silent (\\Seen)"), "-FLAGS.SILENT (\\Seen)");
  EXPECT_EQ(parsed("FLAGS.SILENT ()"), "FLAGS.SILENT ()");
  EXPECT_EQ(parsed("+FLAGS.SILENT (a)"), "+FLAGS.SILENT (a)");
}

TEST(StoreArguments, PutsFlagsInParentheses) {
  EXPECT_EQ(parsed("FLAGS \\Seen"), "FLAGS (\\Seen)");
  EXPECT_EQ(parsed("+FLAGS.SILENT \\Seen \\Deleted $Junk"), "+FLAGS.SILENT (\\Seen \\Deleted $Junk)");
}

TEST(StoreArguments, TakesFlagsOnly) {
  EXPECT_EQ(parsed("FLAGS (\\answered \\X-Own $MDNSent NonJunk a[b 1 NIL recent + -x)"),
            "FLAGS (\\answered \\X-Own $MDNSent NonJunk a[b 1 NIL recent + -x)");
  for (const std::string_view flag :
       {"\\Recent",  "\\RECENT", "\\*", "\\", "\\\\Seen", "\\Seen\\Deleted", "a\\b", "\"a\"", "{1}\r\na",
        "~{1}\r\na", "(a)",      "a*",  "%",  "a]",       "[a b]",           "a(",   ")",     "\xc3\xa4",
        "a\x7f",     "a\tb"}) {
    EXPECT_EQ(parsed("FLAGS (" + std::string(flag) + ")"), "nothing") << flag;
    EXPECT_EQ(parsed("FLAGS (\\Seen " + std::string(flag) + ")"), "nothing") << flag;
    EXPECT_EQ(parsed("FLAGS \\Seen " + std::string(flag)), "nothing") << flag;
  }
}

TEST(StoreArguments, KnowsMalformedText) {
  for (const std::string_view text : {"",
                                      " ",
                                      "FLAGS",
                                      "FLAGS ",
                                      "FLAGS(\\Seen)",
                                      "FLAGS (",
                                      "FLAGS (a",
                                      "FLAGS a)",
                                      "FLAGS (a) ",
                                      "FLAGS (a) b",
                                      "FLAGS (a)(b)",
                                      "FLAGS a (b)",
                                      "FLAGS a ",
                                      "+ FLAGS (a)",
                                      "*FLAGS (a)",
                                      "FLAG (a)",
                                      "FLAGS.LOUD (a)",
                                      ".SILENT (a)",
                                      "+.SILENT (a)",
                                      "FLAGS.SILENT.SILENT (a)",
                                      "(UNCHANGEDSINCE 5) FLAGS (a)",
                                      "\"FLAGS\" (a)",
                                      "X-GM-LABELS (a)"}) {
    EXPECT_EQ(parsed(text), "nothing") << text;
  }
}

TEST(StoreArguments, ForgivesSpacing) {
  EXPECT_EQ(parsed("FLAGS  ( \\Seen   b )"), "FLAGS (\\Seen b)");
  EXPECT_EQ(parsed("FLAGS  a   b"), "FLAGS (a b)");
}

TEST(StoreArguments, TakesAnyGarbage) {
  Garbage garbage(13, {"(", ")", " ", " ", "\\Seen", "\\Recent", "a", "[", "]", "\"x\"", "{1}\r\nx", "+FLAGS",
                       ".SILENT"});
  size_t fine = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string once = parsed((i % 2 == 0 ? "FLAGS " : "") + garbage.next(8));
    if (once == "nothing") continue;
    ++fine;
    ASSERT_EQ(parsed(once), once);
  }
  EXPECT_GT(fine, 500U);
}

}  // namespace
}  // namespace imapmux::wire
