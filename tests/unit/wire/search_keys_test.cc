#include "wire/search_keys.h"

#include <gtest/gtest.h>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

// The number sets, separated by blanks, or the problem.
std::string sets(std::string_view text, SearchForm form = SearchForm::kSearch) {
  const Chunk copy(text);
  const SearchKeys keys = parse_search(copy.view(), form);
  if (!keys.problem.empty()) return "problem: " + keys.problem;
  std::string out;
  for (const auto& [offset, length] : keys.number_sets) out += std::string(text.substr(offset, length)) + " ";
  return out;
}

bool is_fine(std::string_view text) {
  return parse_search(text).problem.empty();
}

TEST(SearchKeys, FindsNumberSets) {
  EXPECT_EQ(sets("1:3"), "1:3 ");
  EXPECT_EQ(sets("UNSEEN 1,5:* NOT 7 OR (2 3:4) 9 (*)"), "1,5:* 7 2 3:4 9 * ");
  EXPECT_EQ(sets("ALL"), "");
}

TEST(SearchKeys, TakesNoUidsOrStringsForNumberSets) {
  EXPECT_EQ(sets("UID 1:3 SUBJECT 5 BODY \"1:2\" TEXT {1}\r\n7 HEADER 1 2 LARGER 10 KEYWORD 3 OLDER 60 8"),
            "8 ");
}

TEST(SearchKeys, KnowsEveryKeyInAnyCase) {
  EXPECT_TRUE(is_fine(
      "all answered bcc x before 1-Feb-1994 body x cc x deleted draft flagged from x header x y "
      "keyword x larger 0 new not seen old on \"01-feb-2020\" or seen new recent seen sentbefore "
      "1-Jan-2000 senton 1-Jan-2000 sentsince 1-Jan-2000 since 31-DEC-1999 smaller 4 subject x text x "
      "to \"\" uid 1:* unanswered undeleted undraft unflagged unkeyword x unseen older 1 younger 3600"));
}

TEST(SearchKeys, ReadsReturnAndCharset) {
  const SearchKeys keys = parse_search("RETURN (min COUNT) CHARSET \"utf-8\" 1 SUBJECT x");
  EXPECT_EQ(keys.problem, "");
  EXPECT_TRUE(keys.has_return);
  EXPECT_EQ(keys.return_options, (std::vector<std::string>{"MIN", "COUNT"}));
  EXPECT_EQ(keys.charset, "utf-8");
  EXPECT_EQ(keys.keys_at, 35U);
  EXPECT_EQ(keys.number_sets, (std::vector<SearchKeys::Piece>{{35, 1}}));
  const SearchKeys empty = parse_search("return () ALL");
  EXPECT_EQ(empty.problem, "");
  EXPECT_TRUE(empty.has_return);
  EXPECT_TRUE(empty.return_options.empty());
  EXPECT_FALSE(parse_search("ALL").has_return);
}

TEST(SearchKeys, ReadsSortAndThread) {
  EXPECT_EQ(sets("(REVERSE DATE SUBJECT) UTF-8 1:5 SEEN", SearchForm::kSort), "1:5 ");
  EXPECT_EQ(sets("REFERENCES US-ASCII NOT 3", SearchForm::kThread), "3 ");
  const SearchKeys keys = parse_search("(reverse date) UTF-8 ALL", SearchForm::kSort);
  EXPECT_EQ(keys.method, "reverse date");
  EXPECT_EQ(keys.charset, "UTF-8");
  EXPECT_EQ(sets("() UTF-8 ALL", SearchForm::kSort), "problem: Sort criteria expected");
  EXPECT_EQ(sets("(SIZE COLOUR) UTF-8 ALL", SearchForm::kSort), "problem: Unknown sort criterion COLOUR");
  EXPECT_EQ(sets("(SIZE)", SearchForm::kSort), "problem: Charset expected");
  EXPECT_EQ(sets("(SIZE) UTF-8 ", SearchForm::kSort), "problem: Search key expected");
  EXPECT_EQ(sets("REFS", SearchForm::kThread), "problem: Charset expected");
}

TEST(SearchKeys, TellsWhatIsWrong) {
  EXPECT_EQ(sets(""), "problem: Search key expected");
  EXPECT_EQ(sets("FOO"), "problem: Unknown search key FOO");
  EXPECT_EQ(sets("X-GM-RAW x"), "problem: Unknown search key X-GM-RAW");
  EXPECT_EQ(sets("$"), "problem: Unknown search key $");
  EXPECT_EQ(sets("UNSEEN \"1:2\""), "problem: A string is no search key");
  EXPECT_EQ(sets("{3}\r\nALL"), "problem: A string is no search key");
  EXPECT_EQ(sets("0"), "problem: Invalid message set 0");
  EXPECT_EQ(sets("1,"), "problem: Invalid message set 1,");
  EXPECT_EQ(sets("SUBJECT"), "problem: Missing or invalid argument of search key SUBJECT");
  EXPECT_EQ(sets("SUBJECT ("), "problem: Missing or invalid argument of search key SUBJECT");
  EXPECT_EQ(sets("HEADER x"), "problem: Missing or invalid argument of search key HEADER");
  EXPECT_EQ(sets("UID x"), "problem: Missing or invalid argument of search key UID");
  EXPECT_EQ(sets("UID \"1\""), "problem: Missing or invalid argument of search key UID");
  EXPECT_EQ(sets("LARGER x"), "problem: Missing or invalid argument of search key LARGER");
  EXPECT_EQ(sets("OLDER 0"), "problem: Missing or invalid argument of search key OLDER");
  EXPECT_EQ(sets("KEYWORD \"x\""), "problem: Missing or invalid argument of search key KEYWORD");
  EXPECT_EQ(sets("NOT"), "problem: Search key expected");
  EXPECT_EQ(sets("OR SEEN"), "problem: Search key expected");
  EXPECT_EQ(sets("(SEEN"), "problem: Search key expected");
  EXPECT_EQ(sets("SEEN)"), "problem: Unexpected )");
  EXPECT_EQ(sets("()"), "problem: Unexpected )");
  EXPECT_EQ(sets("(NOT) SEEN"), "problem: Unexpected )");
  EXPECT_EQ(sets("(OR SEEN) NEW"), "problem: Unexpected )");
  EXPECT_EQ(sets("(SEEN)(NEW)"), "problem: Space expected in search keys");
  EXPECT_EQ(sets("OR(SEEN) NEW"), "problem: Space expected in search keys");
  EXPECT_EQ(sets("SUBJECT \"a\"SEEN"), "problem: Space expected in search keys");
  EXPECT_EQ(sets("SUBJECT \"a"), "problem: Missing or invalid argument of search key SUBJECT");
  EXPECT_EQ(sets("SEEN \"a"), "problem: Malformed search key");
  EXPECT_EQ(sets("RETURN ALL"), "problem: RETURN without a list of options");
  EXPECT_EQ(sets("RETURN (ALL"), "problem: RETURN without a list of options");
  EXPECT_EQ(sets("RETURN (PARTIAL 1:5) ALL"), "problem: Unknown search return option PARTIAL");
  EXPECT_EQ(sets("RETURN (ALL)"), "problem: Search key expected");
  EXPECT_EQ(sets("CHARSET"), "problem: Charset expected");
  EXPECT_EQ(sets("CHARSET UTF-8"), "problem: Charset expected");
  EXPECT_EQ(sets(std::string(100, 'x')), "problem: Unknown search key " + std::string(40, 'x'));
}

TEST(SearchKeys, ChecksDates) {
  for (const std::string_view date : {"1-Feb-1994", "01-Feb-1994", "\"31-dec-2026\""}) {
    EXPECT_TRUE(is_fine("ON " + std::string(date))) << date;
  }
  for (const std::string_view date :
       {"-Feb-1994", "001-Feb-1994", "1-Foo-1994", "1-Feb-94", "1-Feb-19945", "1Feb1994", "\"\"",
        "1-Feb_1994", "x-Feb-1994", "1-Feb-199x", "1-", "1"}) {
    EXPECT_FALSE(is_fine("ON " + std::string(date))) << date;
  }
}

TEST(SearchKeys, Nests50DeepAndNoDeeper) {
  const auto nested = [](size_t depth) { return std::string(depth, '(') + "1" + std::string(depth, ')'); };
  EXPECT_EQ(sets(nested(50)), "1 ");
  EXPECT_EQ(sets(nested(51)), "problem: Search keys are nested too deeply");
  std::string nots;
  for (int i = 0; i < 50; ++i) nots += "NOT ";
  EXPECT_EQ(sets(nots + "1"), "1 ");
  EXPECT_EQ(sets("NOT " + nots + "1"), "problem: Search keys are nested too deeply");
  EXPECT_EQ(sets("OR OR 1 2 OR 3 (4 5) 6"), "1 2 3 4 5 6 ");
}

TEST(SearchKeys, ForgivesMoreSpace) {
  EXPECT_EQ(sets("( SEEN  1 )  2 "), "1 2 ");
}

TEST(SearchKeys, ReplacesSets) {
  const std::string_view text = "UNSEEN 1:3 SUBJECT 1:3 OR uid 5:* (NOT 7)";
  const SearchKeys keys = parse_search(text);
  ASSERT_EQ(keys.number_sets.size(), 2);
  ASSERT_EQ(keys.uid_keys.size(), 1);
  EXPECT_EQ(text.substr(keys.uid_keys[0].offset, keys.uid_keys[0].length), "uid 5:*");
  EXPECT_EQ(SearchKeys::replaced(text, {{keys.number_sets[0], "UID 10:30"},
                                        {keys.number_sets[1], "UID 70"},
                                        {keys.uid_keys[0], "NOT ALL"}}),
            "UNSEEN UID 10:30 SUBJECT 1:3 OR NOT ALL (NOT UID 70)");
  EXPECT_EQ(SearchKeys::replaced("ALL", {}), "ALL");
}

TEST(SearchKeys, TakesAnyGarbage) {
  Garbage garbage(5, {"(", ")", " ", " ", " ", "NOT ", "OR ", "1:2", "SEEN", "SUBJECT ", "\"x\"", "{1}\r\nx",
                      "UID ", "RETURN ", "CHARSET ", "ON ", "1-Feb-1994", "HEADER "});
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = garbage.next(15);
    for (const SearchForm form : {SearchForm::kSearch, SearchForm::kSort, SearchForm::kThread}) {
      const Chunk copy(text);
      const SearchKeys keys = parse_search(copy.view(), form);
      if (!keys.problem.empty()) continue;
      for (const auto& [offset, length] : keys.number_sets) ASSERT_LE(offset + length, text.size());
    }
  }
}

}  // namespace
}  // namespace imapmux::wire
