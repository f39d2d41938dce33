#include "probe/probe_mailbox.h"

#include <gtest/gtest.h>

namespace imapmux::probe {
namespace {

Namespaces read(std::string_view arguments) {
  Namespaces found;
  found.delimiter = '/';
  read_namespaces(arguments, found);
  return found;
}

TEST(ReadNamespaces, AsCourierWritesThem) {
  const auto found = read(R"((("INBOX." ".")) NIL (("#shared." ".")("shared." ".")))");
  EXPECT_EQ(found.personal, "INBOX.");
  EXPECT_EQ(found.delimiter, '.');
  EXPECT_EQ(found.shared, (std::vector<std::string>{"#shared.", "shared."}));
}

TEST(ReadNamespaces, WithExtensionsAndWithoutADelimiter) {
  const auto found = read(R"((("" NIL "X-PARAM" ("a" "b"))) (("~" "/")) NIL)");
  EXPECT_EQ(found.personal, "");
  EXPECT_EQ(found.delimiter, '/');  // what LIST said
  EXPECT_TRUE(found.shared.empty());
}

TEST(ReadNamespaces, MalformedOnesChangeNothing) {
  for (const auto* text : {"", "((", "NIL NIL", R"((("INBOX." ".")) NIL (("shared." "."))"}) {
    const auto found = read(text);
    EXPECT_EQ(found.personal, "") << text;
    EXPECT_EQ(found.delimiter, '/') << text;
    EXPECT_TRUE(found.shared.empty()) << text;
  }
}

TEST(LeftOver, IsOldAndOurs) {
  constexpr int64_t kNow = 1'800'000'000;
  constexpr int64_t kDay = 86'400;
  EXPECT_TRUE(is_left_over(make_name(kNow - 2 * kDay), kNow));
  EXPECT_FALSE(is_left_over(make_name(kNow - kDay / 2), kNow));
  EXPECT_FALSE(is_left_over(make_name(kNow + kDay), kNow));
  EXPECT_FALSE(is_left_over("imapmux-probe-", kNow));
  EXPECT_FALSE(is_left_over("imapmux-probe-00000000deadbee", kNow));
  EXPECT_FALSE(is_left_over("imapmux-probe-00000000deadbeefs", kNow));
  EXPECT_FALSE(is_left_over("imapmux-probe-00000000DEADBEEF", kNow));
  EXPECT_FALSE(is_left_over("xmapmux-probe-00000000deadbeef", kNow));
}

TEST(MakeName, IsAnotherOneEachTime) {
  EXPECT_NE(make_name(1), make_name(1));
}

}  // namespace
}  // namespace imapmux::probe
