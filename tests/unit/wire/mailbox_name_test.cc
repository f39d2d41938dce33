#include "wire/mailbox_name.h"

#include <gtest/gtest.h>

#include "unit/wire/every_split.h"

namespace imapmux::wire {
namespace {

TEST(MailboxName, DecodesModifiedUtf7) {
  EXPECT_EQ(decode_modified_utf7("~peter/mail/&U,BTFw-/&ZeVnLIqe-"), "~peter/mail/台北/日本語");
  EXPECT_EQ(decode_modified_utf7("Entw&APw-rfe"), "Entwürfe");
  EXPECT_EQ(decode_modified_utf7("a&-b"), "a&b");
  EXPECT_EQ(decode_modified_utf7("&2D3eAA-"), "😀");
  EXPECT_EQ(decode_modified_utf7(""), "");
}

TEST(MailboxName, RefusesMalformedModifiedUtf7) {
  for (const std::string_view name : {"&", "a&b", "&APw", "&A-", "&APx-", "&A/w-", "&APw=-", "b\xc3\xbc",
                                      "&2D0-", "&3gA-", "&2D0AYQ-", "a\tb", "&AP w-", "&AAAA-"}) {
    EXPECT_FALSE(decode_modified_utf7(name)) << name;
  }
}

TEST(MailboxName, EncodesModifiedUtf7) {
  EXPECT_EQ(encode_modified_utf7("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
  EXPECT_EQ(encode_modified_utf7("Entwürfe & mehr"), "Entw&APw-rfe &- mehr");
  EXPECT_EQ(encode_modified_utf7("😀"), "&2D3eAA-");
  EXPECT_EQ(encode_modified_utf7("\t"), "&AAk-");
  EXPECT_EQ(encode_modified_utf7("ä&"), "&AOQ-&-");
}

TEST(MailboxName, RefusesMalformedUtf8) {
  for (const std::string_view text :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xe2\x82", "a\xe2\x28\xa1"}) {
    EXPECT_FALSE(encode_modified_utf7(text)) << text;
  }
}

TEST(MailboxName, EncodesWhatItDecodedForEveryCharacter) {
  for (uint32_t c = 1; c < 0x11'0000; c += c < 0x900 ? 1 : 97) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string utf8;
    if (c < 0x80) {
      utf8 = {static_cast<char>(c)};
    } else if (c < 0x800) {
      utf8 = {static_cast<char>(0xc0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
    } else if (c < 0x10000) {
      utf8 = {static_cast<char>(0xe0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 63)),
              static_cast<char>(0x80 | (c & 63))};
    } else {
      utf8 = {static_cast<char>(0xf0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 63)),
              static_cast<char>(0x80 | ((c >> 6) & 63)), static_cast<char>(0x80 | (c & 63))};
    }
    const std::string text = "x" + utf8 + utf8 + "y" + utf8;
    const auto encoded = encode_modified_utf7(text);
    ASSERT_TRUE(encoded) << c;
    ASSERT_EQ(decode_modified_utf7(*encoded), text) << c;
  }
}

TEST(MailboxName, HasOneCanonicalSpelling) {
  EXPECT_EQ(canonical_mailbox_name("inBox", '/'), "INBOX");
  EXPECT_EQ(canonical_mailbox_name("inbox", 0), "INBOX");
  EXPECT_EQ(canonical_mailbox_name("inbox.Sent", '.'), "INBOX.Sent");
  EXPECT_EQ(canonical_mailbox_name("inbox.Sent", '/'), "inbox.Sent");
  EXPECT_EQ(canonical_mailbox_name("inbox.Sent", 0), "inbox.Sent");
  EXPECT_EQ(canonical_mailbox_name("inboxes", '/'), "inboxes");
  EXPECT_EQ(canonical_mailbox_name("inbox/", '/'), "INBOX");
  EXPECT_EQ(canonical_mailbox_name("a/b/", '/'), "a/b");
  EXPECT_EQ(canonical_mailbox_name("a/", 0), "a/");
  EXPECT_EQ(canonical_mailbox_name("/", '/'), "/");
  EXPECT_EQ(canonical_mailbox_name("", '/'), "");
  EXPECT_EQ(canonical_mailbox_name("Sent", '/'), "Sent");
  EXPECT_EQ(canonical_mailbox_name("sent", '/'), "sent");
}

TEST(MailboxName, CanonicalModifiedUtf7IsTheShortest) {
  EXPECT_EQ(canonical_mailbox_name("&AEkATgBCAE8AWA-", '/'), "INBOX");
  EXPECT_EQ(canonical_mailbox_name("&AOQ-&APY-", '/'), "&AOQA9g-");
  EXPECT_EQ(canonical_mailbox_name("&AGEA5A-", '/'), "a&AOQ-");
  EXPECT_EQ(canonical_mailbox_name("R&D/", '/'), "R&D");
  EXPECT_EQ(canonical_mailbox_name("R&-D", '/'), "R&-D");
  EXPECT_EQ(canonical_mailbox_name("b\xc3\xbc&AOQ-", '/'), "b\xc3\xbc&AOQ-");
}

TEST(MailboxName, KnowsInferiors) {
  EXPECT_TRUE(is_inferior("a/b", "a", '/'));
  EXPECT_TRUE(is_inferior("a/b/c", "a", '/'));
  EXPECT_TRUE(is_inferior("INBOX.x", "INBOX", '.'));
  EXPECT_FALSE(is_inferior("a", "a", '/'));
  EXPECT_FALSE(is_inferior("ab/c", "a", '/'));
  EXPECT_FALSE(is_inferior("a/b", "a", '.'));
  EXPECT_FALSE(is_inferior("a/b", "a", 0));
  EXPECT_FALSE(is_inferior("a", "a/b", '/'));
}

TEST(MailboxName, TakesAnyGarbage) {
  Garbage garbage(7, {"&", "-", "AOQ", "A", "/", "inbox", "2D3eAA", "é", "&AOQ-", "&-"});
  for (int i = 0; i < 20'000; ++i) {
    const std::string name = garbage.next(10);
    const std::string canonical = canonical_mailbox_name(name, 0);
    ASSERT_EQ(canonical_mailbox_name(canonical, 0), canonical) << name;
    if (const auto utf8 = decode_modified_utf7(name)) {
      ASSERT_TRUE(encode_modified_utf7(*utf8)) << name;
    }
    encode_modified_utf7(name);
  }
}

}  // namespace
}  // namespace imapmux::wire
