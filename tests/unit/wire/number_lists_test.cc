#include "wire/number_lists.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

using Numbers = std::vector<uint32_t>;

std::optional<Numbers> numbers_of(std::string_view text) {
  const Chunk copy(text);
  Numbers numbers;
  if (!read_numbers(copy.view(), numbers)) return std::nullopt;
  return numbers;
}

// Each number times ten, without those in `gone`.
std::string threads(std::string_view text, const std::set<uint32_t>& gone = {}) {
  const Chunk copy(text);
  const auto mapped =
      map_threads(copy.view(), [&](uint32_t number) { return gone.contains(number) ? 0 : number * 10; });
  return mapped.value_or("nothing");
}

TEST(NumberLists, ReadsNumbers) {
  EXPECT_EQ(numbers_of(""), Numbers{});
  EXPECT_EQ(numbers_of("2 3 5"), (Numbers{2, 3, 5}));
  EXPECT_EQ(numbers_of("4294967295 1 1"), (Numbers{4294967295, 1, 1}));
  EXPECT_EQ(numbers_of("2 3 (MODSEQ 12)"), (Numbers{2, 3}));
  EXPECT_EQ(numbers_of("(X (\"a)\" {1}\r\n)))"), Numbers{});
  EXPECT_EQ(numbers_of("  2   3  "), (Numbers{2, 3}));
  EXPECT_EQ(numbers_of(" "), Numbers{});
}

TEST(NumberLists, AppendsNumbers) {
  Numbers numbers = {9};
  EXPECT_TRUE(read_numbers("2 3", numbers));
  EXPECT_TRUE(read_numbers("4", numbers));
  EXPECT_EQ(numbers, (Numbers{9, 2, 3, 4}));
}

TEST(NumberLists, KnowsMalformedNumbers) {
  for (const std::string_view text :
       {"0", "2 0", "-1", "+1", "x", "2 x", "2,3", "2:3", "4294967296", "2x", "2(MODSEQ 12)", "2 (MODSEQ 12",
        "2 )", "2 ()) ", "2 (MODSEQ 12) 3", "2 (A) (B)", "\"2\"", "2\r\n3", "{1}\r\n2"}) {
    EXPECT_EQ(numbers_of(text), std::nullopt) << text;
  }
}

TEST(NumberLists, MapsThreads) {
  EXPECT_EQ(threads(""), "");
  EXPECT_EQ(threads("(2)(3 6 (4 23)(44 7 96))"), "(20)(30 60 (40 230)(440 70 960))");
  EXPECT_EQ(threads("((3)(5))"), "((30)(50))");
  EXPECT_EQ(threads("(1 ((2)(3))(4))"), "(10 ((20)(30))(40))");
  EXPECT_EQ(threads("(1 (2 (3)(4 (5)(6)))(7))"), "(10 (20 (30)(40 (50)(60)))(70))");
}

TEST(NumberLists, ClosesThePlacesOfMessagesThatAreGone) {
  const std::string_view text = "(2)(3 6 (4 23)(44 7 96))";
  EXPECT_EQ(threads(text, {2}), "(30 60 (40 230)(440 70 960))");
  EXPECT_EQ(threads(text, {3}), "(20)(60 (40 230)(440 70 960))");
  EXPECT_EQ(threads(text, {3, 6}), "(20)((40 230)(440 70 960))");
  EXPECT_EQ(threads(text, {23, 7}), "(20)(30 60 (40)(440 960))");
  // Two are needed for a list of lists (RFC 5256, 5: thread-nested).
  EXPECT_EQ(threads(text, {4, 23}), "(20)(30 60 440 70 960)");
  EXPECT_EQ(threads(text, {3, 6, 44, 7, 96}), "(20)(40 230)");
  EXPECT_EQ(threads(text, {2, 3, 6, 4, 23, 44, 7, 96}), "");
  EXPECT_EQ(threads("((3)(5))", {3}), "(50)");
  EXPECT_EQ(threads("((3)(5))", {3, 5}), "");
  EXPECT_EQ(threads("((3)(5)(7))", {5}), "((30)(70))");
}

TEST(NumberLists, MovesChildrenUp) {
  EXPECT_EQ(threads("(1 (2 (3)(4))(5))", {2}), "(10 (30)(40)(50))");
  EXPECT_EQ(threads("(1 (2 (3)(4))(5))", {1, 2}), "((30)(40)(50))");
  EXPECT_EQ(threads("(1 (2 (3)(4))(5))", {2, 5}), "(10 (30)(40))");
  EXPECT_EQ(threads("(1 (2 (3)(4))(5))", {2, 3, 5}), "(10 40)");
  EXPECT_EQ(threads("(1 (2 (3)(4))(5))", {2, 3}), "(10 (40)(50))");
  EXPECT_EQ(threads("(1 (2 (3 (4)(5))(6))(7))", {2, 3}), "(10 (40)(50)(60)(70))");
  // Who had no parent in the answer has none.
  EXPECT_EQ(threads("(1 ((2)(3))(4))", {4}), "(10 (20)(30))");
  EXPECT_EQ(threads("(1 ((2)(3))(4))", {2}), "(10 (30)(40))");
}

TEST(NumberLists, ForgivesSpacingAndSingleLists) {
  EXPECT_EQ(threads(" ( 1  2 ( 3 )  (4) )  ( 5 ) "), "(10 20 (30)(40))(50)");
  EXPECT_EQ(threads("(1(2)(3))"), "(10 (20)(30))");
  EXPECT_EQ(threads("(1 (2))((3))(((4)(5)))"), "(10 20)(30)((40)(50))");
}

TEST(NumberLists, KnowsMalformedThreads) {
  for (const std::string_view text : {"1",          "(",         ")",
                                      "()",         "(1",        "(1))",
                                      "(1)2",       "(1 (2) 3)", "(1 (2)(3) 4)",
                                      "(0)",        "(x)",       "(4294967296)",
                                      "(1 ())",     "(1,2)",     "(\"1\")",
                                      "({1}\r\n1)", "(1 \"",     "(1) \r\n",
                                      "(-1)",       "(1:2)",     "(NIL)"}) {
    EXPECT_EQ(threads(text), "nothing") << text;
  }
}

TEST(NumberLists, MapsDeepThreads) {
  constexpr size_t kDeep = 100'000;
  std::string deep;
  std::string ends;
  for (size_t i = 0; i < kDeep; ++i) {
    deep += "(1 (2)";
    ends += ')';
  }
  deep += "(3)" + ends;
  EXPECT_EQ(threads(deep, {1, 2}), "(30)");
  EXPECT_EQ(threads(deep, {1, 2, 3}), "");
  EXPECT_EQ(threads(std::string(kDeep, '(') + "7" + std::string(kDeep, ')')), "(70)");
  EXPECT_EQ(threads(std::string(kDeep, '(')), "nothing");
}

TEST(NumberLists, KeepsEveryMessageOnceAndInOrder) {
  std::mt19937 random(14);
  const auto below = [&](size_t limit) { return random() % limit; };
  for (int round = 0; round < 3'000; ++round) {
    // A random answer in the grammar of RFC 5256, and the numbers that stay.
    uint32_t last = 0;
    Numbers kept;
    std::set<uint32_t> gone;
    const auto list = [&](const auto& self, size_t depth) -> std::string {
      std::string text;
      const size_t nested = depth > 0 && below(2) == 0 ? 2 + below(2) : 0;
      for (size_t left = nested > 0 ? below(3) : 1 + below(3); left > 0; --left) {
        text += (text.empty() ? "" : " ") + std::to_string(++last);
        if (below(2) == 0) {
          gone.insert(last);
        } else {
          kept.push_back(last * 10);
        }
      }
      if (nested > 0 && !text.empty()) text += ' ';
      for (size_t i = 0; i < nested; ++i) text += self(self, depth - 1);
      return "(" + text + ")";
    };
    std::string text;
    for (size_t left = below(4); left > 0; --left) text += list(list, 4);

    const std::string mapped = threads(text, gone);
    Numbers found;
    const auto again = map_threads(mapped, [&](uint32_t number) {
      found.push_back(number);
      return number;
    });
    ASSERT_EQ(again, mapped) << text;
    ASSERT_EQ(found, kept) << text;
    const auto unchanged = map_threads(text, [](uint32_t number) { return number; });
    ASSERT_EQ(unchanged, text);
  }
}

TEST(NumberLists, WritesEsearch) {
  const Numbers numbers = {9, 2, 5, 4, 8, 6, 7, 5, 2};
  EXPECT_EQ(write_esearch("a1", numbers, {"MIN", "MAX", "ALL", "COUNT"}, Numbering::kUids),
            "ESEARCH (TAG \"a1\") UID MIN 2 MAX 9 ALL 2,4:9 COUNT 7");
  EXPECT_EQ(write_esearch("a1", numbers, {}, Numbering::kSequenceNumbers), "ESEARCH (TAG \"a1\") ALL 2,4:9");
  EXPECT_EQ(write_esearch("a1", numbers, {"COUNT"}, Numbering::kSequenceNumbers),
            "ESEARCH (TAG \"a1\") COUNT 7");
  EXPECT_EQ(write_esearch("a1", numbers, {"MAX", "MIN", "MAX"}, Numbering::kUids),
            "ESEARCH (TAG \"a1\") UID MIN 2 MAX 9");
  EXPECT_EQ(write_esearch("a1", {4294967295}, {"ALL"}, Numbering::kUids),
            "ESEARCH (TAG \"a1\") UID ALL 4294967295");
}

TEST(NumberLists, WritesEsearchWhereNothingWasFound) {
  EXPECT_EQ(write_esearch("a1", {}, {"MIN", "MAX", "ALL", "COUNT"}, Numbering::kUids),
            "ESEARCH (TAG \"a1\") UID COUNT 0");
  EXPECT_EQ(write_esearch("a1", {}, {}, Numbering::kSequenceNumbers), "ESEARCH (TAG \"a1\")");
}

TEST(NumberLists, QuotesTheTag) {
  EXPECT_EQ(write_esearch("a\"\\", {1}, {}, Numbering::kUids), "ESEARCH (TAG \"a\\\"\\\\\") UID ALL 1");
}

TEST(NumberLists, TakesAnyGarbage) {
  Garbage garbage(15,
                  {"(", "(", ")", ")", " ", "1", "23", "0", "(MODSEQ 5)", "\"x\"", "{1}\r\n1", "(1 (2)(3))"});
  size_t fine = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string text = garbage.next(10);
    numbers_of(text);
    const std::string once = threads(text);
    if (once == "nothing") continue;
    ++fine;
    ASSERT_NE(threads(once), "nothing") << text << " -> " << once;
  }
  EXPECT_GT(fine, 500U);
}

}  // namespace
}  // namespace imapmux::wire
