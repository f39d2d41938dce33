// Two and three sessions: what they see of each other, what is punished, what is counted.
#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "unit/demo/peer.h"

namespace imapmux::demo {
namespace {

constexpr const char* kKilled = "* BYE Killed (lost mailbox lock)\r\n";

struct Two {
  explicit Two(Quirks quirks, int messages = 3) : server(options_with(quirks)) {
    fill(server, messages);
    a.emplace(server);
    b.emplace(server);
    a->log_in();
    b->log_in();
    a->take();
    b->take();
  }
  const Violations& violations() { return server.violations(); }

  LegacyServer server;
  std::optional<Peer> a, b;
};

TEST(SecondSession, Severs) {
  Two two(quirks_with(SecondSession::kSeversFirst));
  two.a->say("1 SELECT INBOX");
  EXPECT_EQ(two.violations().total(), 0U);
  EXPECT_TRUE(has(two.b->say("1 SELECT INBOX"), "1 OK [READ-WRITE]"));
  EXPECT_EQ(two.a->take(), kKilled);
  EXPECT_TRUE(two.a->closed);
  EXPECT_EQ(two.a->say("2 NOOP"), "");
  EXPECT_EQ(two.violations().second_select, 1U);
  EXPECT_EQ(two.violations().total(), 1U);
  EXPECT_EQ(two.server.open_sessions(), 1U);
  EXPECT_EQ(two.violations().texts(),
            std::vector<std::string>{"second SELECT of INBOX by alice (127.0.0.1)"});
}

TEST(SecondSession, SeversMidLiteralAndOutOfIdle) {
  Two two(quirks_with(SecondSession::kSeversFirst));
  two.a->say("1 SELECT INBOX");
  two.a->raw("2 APPEND INBOX {10}\r\nabc");
  two.b->say("1 EXAMINE INBOX");
  EXPECT_EQ(two.a->take(), kKilled);
  EXPECT_EQ(two.a->raw("defghij\r\n"), "");
  two.b->say("2 IDLE");
  Peer third(two.server);
  third.in();
  EXPECT_EQ(two.b->take(), kKilled);
  EXPECT_FALSE(two.b->session.idling());
  EXPECT_EQ(two.violations().second_examine, 1U);
  EXPECT_EQ(two.violations().second_select, 1U);
}

TEST(SecondSession, Refused) {
  Two two(quirks_with(SecondSession::kRefused));
  two.a->say("1 SELECT INBOX");
  EXPECT_EQ(two.b->say("1 SELECT INBOX"), "1 NO [INUSE] Mailbox is locked by another session\r\n");
  EXPECT_EQ(two.b->say("2 EXAMINE INBOX"), "2 NO [INUSE] Mailbox is locked by another session\r\n");
  EXPECT_EQ(two.b->say("3 FETCH 1 UID"), "3 BAD Command not allowed now\r\n");
  EXPECT_EQ(two.a->say("2 NOOP"), "2 OK NOOP completed\r\n");
  EXPECT_TRUE(has(two.a->say("3 SELECT INBOX"), "3 OK "));
  two.a->say("4 CLOSE");
  EXPECT_TRUE(has(two.b->say("4 SELECT INBOX"), "4 OK [READ-WRITE]"));
  EXPECT_EQ(two.violations().total(), 2U);
  two.b->session.disconnected();
  EXPECT_TRUE(has(two.a->say("5 SELECT INBOX"), "5 OK [READ-WRITE]"));
  EXPECT_EQ(two.violations().total(), 2U);
}

TEST(SecondSession, ReadOnly) {
  Two two(quirks_with(SecondSession::kReadOnly));
  two.a->say("1 SELECT INBOX");
  EXPECT_TRUE(has(two.b->say("1 SELECT INBOX"), "1 OK [READ-ONLY]"));
  EXPECT_TRUE(has(two.b->say("2 STORE 1 FLAGS ()"), "2 NO "));
  EXPECT_TRUE(has(two.a->say("2 STORE 1 FLAGS ()"), "2 OK "));
  EXPECT_EQ(two.violations().second_select, 1U);
}

TEST(SecondSession, ExamineMayNotCount) {
  Quirks quirks = quirks_with(SecondSession::kSeversFirst);
  quirks.examine_counts = false;
  Two two(quirks);
  two.a->say("1 SELECT INBOX");
  EXPECT_TRUE(has(two.b->say("1 EXAMINE INBOX"), "1 OK [READ-ONLY]"));
  EXPECT_FALSE(two.a->closed);
  two.a->say("2 CLOSE");
  EXPECT_TRUE(has(two.a->say("3 SELECT INBOX"), "3 OK [READ-WRITE]"));
  EXPECT_FALSE(two.b->closed);
  EXPECT_EQ(two.violations().total(), 0U);
}

TEST(SecondSession, OtherMailboxesAndUsersDoNotMatter) {
  Two two(quirks_with(SecondSession::kSeversFirst));
  two.a->say("1 SELECT INBOX");
  two.b->say("1 CREATE Other");
  two.b->say("2 SELECT Other");
  Peer bob(two.server);
  bob.say("1 LOGIN bob word");
  EXPECT_TRUE(has(bob.say("2 SELECT INBOX"), "* 0 EXISTS\r\n"));
  EXPECT_FALSE(two.a->closed);
  EXPECT_EQ(two.violations().total(), 0U);
  EXPECT_EQ(two.server.sessions_in("alice", "INBOX"), 1U);
}

TEST(Allowed, ChangesAreToldAtCommandBoundaries) {
  Two two(quirks_with(SecondSession::kAllowed));
  two.a->say("1 SELECT INBOX");
  two.b->say("1 SELECT INBOX");
  EXPECT_EQ(two.violations().second_select, 1U);
  two.b->say("2 STORE 1 +FLAGS.SILENT \\Flagged");
  EXPECT_EQ(two.a->say("2 NOOP"), "* 1 FETCH (FLAGS (\\Flagged \\Recent))\r\n2 OK NOOP completed\r\n");
  two.b->say("3 STORE 2 +FLAGS.SILENT \\Deleted");
  two.b->say("4 EXPUNGE");
  two.server.store().append("alice", "INBOX", mail("new"));
  // No EXPUNGE during FETCH, STORE, SEARCH: the numbers still are the old ones, and the message can be read.
  std::string fetched = two.a->say("3 FETCH 2:3 (UID BODY.PEEK[TEXT])");
  EXPECT_TRUE(has(fetched, "* 2 FETCH (UID 2 BODY[TEXT] {8}\r\nHello.\r\n)\r\n* 3 FETCH (UID 3 ")) << fetched;
  EXPECT_TRUE(has(fetched, "* 4 EXISTS\r\n"));
  EXPECT_FALSE(has(fetched, "EXPUNGE"));
  EXPECT_FALSE(has(two.a->say("4 STORE 2 +FLAGS \\Seen"), "EXPUNGE"));
  EXPECT_EQ(two.a->say("5 SEARCH ALL"), "* SEARCH 1 2 3 4\r\n5 OK SEARCH completed\r\n");
  EXPECT_EQ(two.a->say("6 NOOP"), "* 2 EXPUNGE\r\n6 OK NOOP completed\r\n");
  EXPECT_EQ(two.a->say("7 SEARCH UID 4"), "* SEARCH 3\r\n7 OK SEARCH completed\r\n");
}

// RFC 3501, 6.4.6: .SILENT hides what the client did, and not what others did.
TEST(Allowed, SilentHidesNothingOfOthers) {
  Two two(quirks_with(SecondSession::kAllowed));
  two.a->say("1 SELECT INBOX");
  two.server.store().store_flags(*two.server.store().find("alice", "INBOX"), 2, StoreMode::kAdd,
                                 {"\\Flagged"});
  EXPECT_EQ(two.a->say("2 STORE 1:2 +FLAGS.SILENT \\Seen"),
            "* 2 FETCH (FLAGS (\\Flagged \\Seen \\Recent))\r\n2 OK STORE completed\r\n");
  EXPECT_EQ(two.a->say("3 NOOP"), "3 OK NOOP completed\r\n");
}

TEST(Allowed, IdleHearsOfTheOther) {
  Two two(quirks_with(SecondSession::kAllowed));
  two.a->say("1 SELECT INBOX");
  two.b->say("1 SELECT INBOX");
  two.a->say("2 IDLE");
  two.b->say("2 STORE 3 +FLAGS.SILENT (\\Deleted)");
  EXPECT_EQ(two.a->take(), "* 3 FETCH (FLAGS (\\Deleted \\Recent))\r\n");
  two.b->say("3 CLOSE");
  EXPECT_EQ(two.a->take(), "* 3 EXPUNGE\r\n");
}

TEST(Allowed, DeletedMailboxEmpties) {
  Two two(quirks_with(SecondSession::kAllowed), 0);
  two.a->say("1 CREATE Other");
  two.server.store().append("alice", "Other", mail("x"));
  two.a->say("2 SELECT Other");
  EXPECT_TRUE(has(two.b->say("1 RENAME Other Else"), "1 OK "));
  EXPECT_EQ(two.a->say("3 FETCH 1 UID"), "* 1 FETCH (UID 1)\r\n3 OK FETCH completed\r\n");
  EXPECT_TRUE(has(two.b->say("2 DELETE Else"), "2 OK "));
  EXPECT_EQ(two.a->say("4 NOOP"), "* 1 EXPUNGE\r\n4 OK NOOP completed\r\n");
  EXPECT_TRUE(has(two.a->say("5 FETCH 1 UID"), "5 BAD "));
  EXPECT_EQ(two.violations().delete_or_rename_of_selected, 2U);
}

TEST(Violations, DeleteAndRename) {
  Two two(quirks_with(SecondSession::kSeversFirst), 0);
  two.a->say("1 CREATE Work/a");
  two.a->say("2 SELECT Work/a");
  EXPECT_TRUE(has(two.b->say("1 DELETE Work/a"), "1 NO [INUSE]"));
  EXPECT_TRUE(has(two.b->say("2 RENAME Work Play"), "2 NO [INUSE]"));
  EXPECT_EQ(two.violations().delete_or_rename_of_selected, 2U);
  EXPECT_TRUE(has(two.a->say("3 RENAME Work Play"), "3 OK "));
  EXPECT_EQ(two.violations().total(), 2U);
}

TEST(Violations, AppendCopyMove) {
  Two two(quirks_with(SecondSession::kSeversFirst));
  two.a->say("1 SELECT INBOX");
  two.b->say("1 CREATE Other");
  two.b->say("2 SELECT Other");
  EXPECT_TRUE(has(two.b->say("3 APPEND INBOX {3+}\r\nabc"), "3 OK "));
  EXPECT_TRUE(has(two.b->say("4 APPEND Other {3+}\r\nabc"), "4 OK "));
  EXPECT_EQ(two.violations().append_or_copy_to_selected_by_other, 1U);
  two.b->say("5 COPY 1 INBOX");
  two.b->say("6 MOVE 1 INBOX");
  EXPECT_EQ(two.violations().append_or_copy_to_selected_by_other, 3U);
  EXPECT_EQ(two.a->say("2 NOOP"), "* 6 EXISTS\r\n* 6 RECENT\r\n2 OK NOOP completed\r\n");
  EXPECT_EQ(two.violations().total(), 3U);
}

TEST(StatusOfSelected, Fine) {
  Two two(quirks_with(SecondSession::kSeversFirst));
  two.a->say("1 SELECT INBOX");
  EXPECT_TRUE(has(two.b->say("1 STATUS INBOX (MESSAGES)"), "(MESSAGES 3)"));
  EXPECT_TRUE(has(two.a->say("2 STATUS INBOX (MESSAGES)"), "(MESSAGES 3)"));
  EXPECT_EQ(two.violations().status_of_selected_by_other, 1U);
  EXPECT_EQ(two.violations().status_of_own, 1U);
  two.b->say("2 STATUS INBOX (MESSAGES)");
  EXPECT_EQ(two.violations().total(), 3U);
}

TEST(StatusOfSelected, Kills) {
  Quirks quirks;
  quirks.status_of_selected = StatusOfSelected::kKillsSession;
  Two two(quirks);
  two.a->say("1 SELECT INBOX");
  EXPECT_TRUE(has(two.b->say("1 STATUS INBOX (MESSAGES)"), "(MESSAGES 3)"));
  EXPECT_EQ(two.a->take(), kKilled);
  two.b->say("2 SELECT INBOX");
  EXPECT_EQ(two.b->say("3 STATUS INBOX (MESSAGES)"), kKilled);
  EXPECT_TRUE(two.b->closed);
}

TEST(StatusOfSelected, Stale) {
  Quirks quirks;
  quirks.status_of_selected = StatusOfSelected::kStaleNumbers;
  Two two(quirks);
  two.a->say("1 SELECT INBOX");
  two.server.store().append("alice", "INBOX", mail("new"));
  EXPECT_TRUE(has(two.a->say("2 STATUS INBOX (MESSAGES UIDNEXT)"), "(MESSAGES 3 UIDNEXT 4)"));
  EXPECT_TRUE(has(two.b->say("1 STATUS INBOX (MESSAGES)"), "(MESSAGES 3)"));
  two.a->say("3 CLOSE");
  EXPECT_TRUE(has(two.b->say("2 STATUS INBOX (MESSAGES)"), "(MESSAGES 4)"));
}

TEST(Limits, PerUser) {
  Quirks quirks;
  quirks.max_connections_per_user = 2;
  Two two(quirks);
  Peer third(two.server);
  third.take();
  EXPECT_EQ(third.say("1 LOGIN alice secret"), "1 NO Too many open connections (2 of 2)\r\n");
  EXPECT_TRUE(has(third.say("2 LOGIN bob word"), "2 OK "));
  two.a->say("1 LOGOUT");
  Peer fourth(two.server);
  EXPECT_TRUE(has(fourth.say("1 LOGIN alice secret"), "1 OK "));
  EXPECT_EQ(two.violations().over_user_limit, 1U);
  EXPECT_EQ(two.violations().total(), 1U);
}

TEST(Limits, PerAddress) {
  Quirks quirks;
  quirks.max_connections_per_address = 2;
  LegacyServer server(options_with(quirks));
  Peer a(server), c(server, "10.0.0.1");
  std::optional<Peer> b(std::in_place, server);
  Peer third(server);
  EXPECT_EQ(third.take(), "* BYE Too many connections from your address\r\n");
  EXPECT_TRUE(third.closed);
  b.reset();
  Peer fourth(server);
  EXPECT_TRUE(has(fourth.take(), "* OK "));
  EXPECT_EQ(server.violations().over_address_limit, 1U);
}

TEST(Violations, TextsAreBounded) {
  Violations violations;
  for (int i = 0; i < 1000; ++i) violations.record(violations.second_select, "x");
  EXPECT_EQ(violations.total(), 1000U);
  EXPECT_EQ(violations.texts().size(), Violations::kMaxTexts);
  violations.reset();
  EXPECT_EQ(violations.total(), 0U);
  EXPECT_TRUE(violations.texts().empty());
}

TEST(Server, ShutDown) {
  Two two(quirks_with(SecondSession::kSeversFirst));
  two.server.shut_down();
  EXPECT_EQ(two.a->take(), "* BYE Server shutting down\r\n");
  EXPECT_TRUE(two.b->closed);
  EXPECT_EQ(two.server.open_sessions(), 0U);
}

TEST(Server, DeliveryFromAnotherThread) {
  LegacyServer server(options_with());
  Peer peer(server);
  peer.in();
  std::thread deliverer([&] {
    for (int i = 0; i < 200; ++i) server.store().append("alice", "INBOX", mail("x"));
  });
  std::string heard;
  for (int i = 0; i < 200; ++i) heard = peer.say("1 UID FETCH 1:* FLAGS");
  deliverer.join();
  peer.say("2 NOOP");
  EXPECT_TRUE(has(peer.say("3 FETCH * UID"), "* 200 FETCH (UID 200)\r\n"));
}

}  // namespace
}  // namespace imapmux::demo
