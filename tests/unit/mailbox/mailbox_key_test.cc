// All spellings of a mailbox have one key; different mailboxes have different ones.
#include "mailbox/mailbox_key.h"

#include <gtest/gtest.h>

namespace imapmux::mailbox {
namespace {

struct NamingTest : testing::Test {
  config::Backend backend;
  NamingTest() { backend.name = "old"; }
  MailboxKey key(std::string_view name, std::string_view account = "bob", char delimiter = '/') const {
    return MailboxNaming(backend, account, delimiter).key(name);
  }
};

TEST_F(NamingTest, InboxIsOneMailboxInAnyCase) {
  EXPECT_EQ(key("INBOX"), key("inbox"));
  EXPECT_EQ(key("InBox/Sub"), key("INBOX/Sub"));
  EXPECT_NE(key("INBOX/Sub"), key("INBOX/sub"));
  EXPECT_NE(key("Trash"), key("trash"));
}

TEST_F(NamingTest, ATrailingDelimiterIsDropped) {
  EXPECT_EQ(key("Work/"), key("Work"));
  EXPECT_EQ(key("Work.", "bob", '.'), key("Work", "bob", '.'));
  EXPECT_NE(key("Work.", "bob", '/'), key("Work", "bob", '/'));
}

TEST_F(NamingTest, SpellingsOfModifiedUtf7AreOne) {
  EXPECT_EQ(key("&AGE-b"), key("ab"));
}

TEST_F(NamingTest, TheKeyCarriesTheDelimiter) {
  EXPECT_EQ(key("a", "bob", '.').delimiter, '.');
  EXPECT_EQ(key("a", "bob", 0).delimiter, 0);
  EXPECT_EQ(MailboxNaming(backend, "bob", '.').delimiter(), '.');
}

TEST_F(NamingTest, UsersThatDifferInCaseContendForOneMailbox) {
  EXPECT_EQ(key("Work", "Bob"), key("Work", "bOB"));
  EXPECT_NE(key("Work", "bob"), key("Work", "bobby"));
}

TEST_F(NamingTest, TwoBackendsHaveDifferentMailboxes) {
  config::Backend other;
  other.name = "new";
  EXPECT_NE(MailboxNaming(other, "bob", '/').key("a"), key("a"));
}

TEST_F(NamingTest, SharedNamespacesAreTheSameForAllUsers) {
  backend.shared_namespaces = {"Public/", "#shared."};
  EXPECT_EQ(key("Public/News", "bob"), key("Public/News", "alice"));
  EXPECT_EQ(key("#shared.x", "bob", '.'), key("#shared.x", "alice", '.'));
  EXPECT_NE(key("Publicity", "bob"), key("Publicity", "alice"));
  EXPECT_NE(key("My/Public/News", "bob"), key("My/Public/News", "alice"));
}

TEST_F(NamingTest, ASharedMailboxIsNotAUsersMailboxOfTheSameName) {
  const auto own = key("Public/News", "bob");
  backend.shared_namespaces = {"Public/"};
  EXPECT_NE(key("Public/News", "bob"), own);
}

TEST_F(NamingTest, AnAliasGivesTheMailboxItsOtherName) {
  backend.mailbox_aliases = {{.match = "Mail/(.*)", .key = "\\1", .user = ""}};
  EXPECT_EQ(key("Mail/Work"), key("Work"));
  EXPECT_EQ(key("Mail/inbox"), key("INBOX")) << "the other name is canonical again";
  EXPECT_EQ(key("Mail/Work/"), key("Work"));
}

TEST_F(NamingTest, AnAliasMatchesTheWholeName) {
  backend.mailbox_aliases = {{.match = "Deleted|Trash", .key = "Bin", .user = ""}};
  EXPECT_EQ(key("Trash"), key("Bin"));
  EXPECT_EQ(key("Deleted"), key("Bin"));
  EXPECT_NE(key("Trash2"), key("Bin"));
  EXPECT_NE(key("Old/Trash"), key("Bin"));
  EXPECT_NE(key("Deleted2"), key("Bin"));
}

TEST_F(NamingTest, AnAliasMayNameTheUserWhoseMailboxItIs) {
  backend.mailbox_aliases = {{.match = "Other/([^/]*)/(.*)", .key = "\\2", .user = "\\1"}};
  EXPECT_EQ(key("Other/Alice/Work", "bob"), key("Work", "alice"));
  EXPECT_NE(key("Other/Alice/Work", "bob"), key("Work", "bob"));
}

TEST_F(NamingTest, TheFirstAliasThatMatchesCounts) {
  backend.mailbox_aliases = {{.match = "a", .key = "b", .user = ""},
                             {.match = "[ab]", .key = "c", .user = ""}};
  EXPECT_EQ(key("a").mailbox, "b");
  EXPECT_EQ(key("b").mailbox, "c");
}

TEST_F(NamingTest, AnAliasMayLeadIntoASharedNamespace) {
  backend.shared_namespaces = {"Public/"};
  backend.mailbox_aliases = {{.match = "pub\\.(.*)", .key = "Public/\\1", .user = ""}};
  EXPECT_EQ(key("pub.News", "bob"), key("Public/News", "alice"));
}

TEST_F(NamingTest, NamesThatLookLikeScopesAreNoConfusion) {
  backend.shared_namespaces = {"u"};
  EXPECT_NE(key("ubob", "x"), key("bob", "u"));
}

TEST(MailboxNamingTest, ASharedNamespaceIsRecognisedInEverySpelling) {
  config::Backend backend;
  backend.name = "b";
  backend.shared_namespaces = {"inbox/Shared/"};
  const MailboxNaming bob(backend, "bob", '/');
  const MailboxNaming alice(backend, "alice", '/');
  EXPECT_EQ(bob.key("INBOX/Shared/team"), alice.key("Inbox/Shared/team"));
  EXPECT_FALSE(bob.key("INBOX/Sharedx") == alice.key("INBOX/Sharedx"));
}

}  // namespace
}  // namespace imapmux::mailbox
