// What a process that takes over has to ask for before it touches an account.
#include "session/inheritance.h"

#include <gtest/gtest.h>

#include <vector>

namespace imapmux::session {
namespace {

using mailbox::AccountSet;

config::Backend backend_called(const std::string& name) {
  config::Backend backend;
  backend.name = name;
  backend.servers.push_back({.host = "old.example.org", .port = 143, .path = ""});
  return backend;
}

struct InheritanceTest : testing::Test {
  config::Backend legacy = backend_called("legacy");
  std::vector<AccountSet> asked;
  Inheritance::Ask ask = [this](const AccountSet& accounts) { asked.push_back(accounts); };
  // The other process has the backend as it is here.
  Inheritance from_the_same() { return {{{legacy.name, Inheritance::description(legacy)}}, ask}; }
};

TEST_F(InheritanceTest, AnAccountIsAskedForOnceAndThereWhenItIsGiven) {
  auto inheritance = from_the_same();
  EXPECT_FALSE(inheritance.has(legacy, "Bob"));
  EXPECT_FALSE(inheritance.has(legacy, "bob"));  // may contend for the same mailbox
  EXPECT_EQ(asked, (std::vector<AccountSet>{{"legacy", "bob"}}));
  inheritance.given({"legacy", "bob"});
  EXPECT_TRUE(inheritance.has(legacy, "BOB"));
  EXPECT_FALSE(inheritance.has(legacy, "ann"));
  inheritance.given_all();
  EXPECT_TRUE(inheritance.has(legacy, "ann"));
}

TEST_F(InheritanceTest, WhereUsersShareMailboxesTheWholeBackendIsNeeded) {
  auto with_alias = backend_called("legacy");
  with_alias.mailbox_aliases.push_back({.match = "user/(.*)", .key = "INBOX", .user = "\\1"});
  legacy.shared_namespaces.emplace_back("Shared/");
  for (const auto* backend : {&legacy, &with_alias}) {
    asked.clear();
    Inheritance inheritance({{"legacy", Inheritance::description(*backend)}}, ask);
    EXPECT_FALSE(inheritance.has(*backend, "bob"));
    EXPECT_EQ(asked, (std::vector<AccountSet>{{"legacy", ""}}));
    inheritance.given({"legacy", ""});
    EXPECT_TRUE(inheritance.has(*backend, "ann"));
  }
}

TEST_F(InheritanceTest, WhereTheBackendsDifferEverythingIsNeeded) {
  auto renamed = backend_called("renamed");
  auto moved = backend_called("legacy");
  moved.servers.front().port = 144;
  auto other_conflicts = backend_called("legacy");
  other_conflicts.conflicts = config::Conflicts::kNone;
  for (const auto* backend : {&renamed, &moved, &other_conflicts}) {
    asked.clear();
    auto inheritance = from_the_same();
    EXPECT_FALSE(inheritance.has(*backend, "bob"));
    EXPECT_EQ(asked, std::vector<AccountSet>(1));
    inheritance.given({});
    EXPECT_TRUE(inheritance.has(*backend, "ann"));
  }
}

TEST_F(InheritanceTest, ARelayWithoutALimitPerUserHasNothingToAskFor) {
  legacy.access = config::MailboxAccess::kUnrestricted;
  legacy.connections_per_user = 0;
  auto inheritance = from_the_same();
  EXPECT_TRUE(inheritance.has(legacy, "bob"));
  EXPECT_TRUE(asked.empty());
}

}  // namespace
}  // namespace imapmux::session
