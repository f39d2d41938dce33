// One session: every command, and what is switched off by Quirks.
#include <gtest/gtest.h>

#include "demo/encoding.h"
#include "demo/sample_mail.h"
#include "unit/demo/peer.h"

namespace imapmux::demo {
namespace {

class Session : public testing::Test {
 protected:
  LegacyServer server{options_with()};
  Peer peer{server};
};

TEST_F(Session, Greeting) {
  EXPECT_EQ(peer.take(),
            "* OK [CAPABILITY IMAP4rev1 SASL-IR CHILDREN ID LITERAL+ IDLE NAMESPACE UIDPLUS MOVE UNSELECT "
            "AUTH=PLAIN "
            "AUTH=LOGIN] Legacy IMAP server ready\r\n");
}

TEST_F(Session, AnyState) {
  peer.take();
  EXPECT_TRUE(has(peer.say("1 capability"), "* CAPABILITY IMAP4rev1 "));
  EXPECT_EQ(peer.say("2 NOOP"), "2 OK NOOP completed\r\n");
  EXPECT_EQ(peer.say("3 ID NIL"), "* ID (\"name\" \"imapmux demo\")\r\n3 OK ID completed\r\n");
  EXPECT_EQ(peer.say("4 FROB"), "4 BAD Unknown command\r\n");
  EXPECT_EQ(peer.say("5 SELECT INBOX"), "5 BAD Command not allowed now\r\n");
  EXPECT_TRUE(has(peer.say(""), "* BAD "));
  EXPECT_TRUE(has(peer.say("("), "* BAD "));
  EXPECT_EQ(peer.say("6 LOGOUT"), "* BYE Logging out\r\n6 OK LOGOUT completed\r\n");
  EXPECT_TRUE(peer.closed);
  EXPECT_EQ(peer.say("7 NOOP"), "");
}

TEST_F(Session, EveryByteAlone) {
  peer.take();
  std::string all;
  for (char c : std::string("1 LOGIN {5}\r\nalice \"secret\"\r\n2 APPEND inbox {3}\r\nabc\r\n3 SELECT "
                            "INBOX\r\n4 IDLE\r\nDONE\r\n"))
    all += peer.raw(std::string(1, c));
  EXPECT_TRUE(has(all, "+ Ready for literal\r\n1 OK ")) << all;
  EXPECT_TRUE(has(all, "+ Ready for literal\r\n2 OK [APPENDUID 7 1] APPEND completed\r\n")) << all;
  EXPECT_TRUE(has(all, "+ idling\r\n4 OK IDLE terminated\r\n")) << all;
}

TEST_F(Session, Login) {
  peer.take();
  EXPECT_EQ(peer.say("1 LOGIN alice wrong"), "1 NO [AUTHENTICATIONFAILED] Authentication failed\r\n");
  EXPECT_EQ(peer.say("2 LOGIN alice"), "2 BAD Invalid arguments\r\n");
  EXPECT_EQ(peer.say("3 LOGIN carol carol"), "3 NO [AUTHENTICATIONFAILED] Authentication failed\r\n");
  std::string ok = peer.say("4 LOGIN \"alice\" secret");
  EXPECT_TRUE(has(ok, "4 OK [CAPABILITY IMAP4rev1 "));
  EXPECT_FALSE(has(ok, "AUTH="));
  EXPECT_EQ(peer.say("5 LOGIN alice secret"), "5 BAD Command not allowed now\r\n");
}

TEST_F(Session, AuthenticatePlain) {
  peer.take();
  std::string good = encode_base64(std::string_view("\0alice\0secret", 13));
  EXPECT_EQ(peer.say("1 AUTHENTICATE PLAIN"), "+ \r\n");
  EXPECT_EQ(peer.say("*"), "1 BAD Authentication cancelled\r\n");
  EXPECT_EQ(peer.say("2 AUTHENTICATE PLAIN ="), "2 BAD Invalid PLAIN message\r\n");
  EXPECT_EQ(peer.say("3 AUTHENTICATE CRAM-MD5"), "3 NO Unsupported mechanism\r\n");
  EXPECT_TRUE(
      has(peer.say("4 AUTHENTICATE PLAIN " + encode_base64(std::string_view("bob\0alice\0secret", 16))),
          "4 NO [AUTHORIZATIONFAILED]"));
  peer.say("5 AUTHENTICATE PLAIN");
  EXPECT_TRUE(has(peer.say(good), "5 OK "));
  Peer second(server);
  second.take();
  EXPECT_TRUE(has(second.say("1 authenticate plain " + good), "1 OK "));
}

TEST_F(Session, AuthenticateLogin) {
  peer.take();
  EXPECT_EQ(peer.say("1 AUTHENTICATE LOGIN"), "+ VXNlcm5hbWU6\r\n");
  EXPECT_EQ(peer.say(encode_base64("alice")), "+ UGFzc3dvcmQ6\r\n");
  EXPECT_TRUE(has(peer.say(encode_base64("wrong")), "1 NO "));
  EXPECT_EQ(peer.say("2 AUTHENTICATE LOGIN " + encode_base64("alice")), "+ UGFzc3dvcmQ6\r\n");
  EXPECT_TRUE(has(peer.say(encode_base64("secret")), "2 OK "));
}

TEST(SessionOptions, AnyUser) {
  ServerOptions options;
  options.accept_any_user = true;
  options.furnish = add_sample_mail;
  LegacyServer server(options);
  Peer peer(server);
  EXPECT_TRUE(has(peer.say("1 LOGIN demo wrong"), "1 NO "));
  EXPECT_TRUE(has(peer.say("2 LOGIN demo demo"), "2 OK "));
  EXPECT_TRUE(has(peer.say("3 SELECT INBOX"), "* 12 EXISTS\r\n"));
  EXPECT_TRUE(has(peer.say("5 SEARCH CHARSET UTF-8 SUBJECT {7+}\r\nZ\xc3\xbcrich"), "* SEARCH 4\r\n"));
  EXPECT_TRUE(has(peer.say("6 SEARCH BODY \"mailbox locks\""), "* SEARCH 3\r\n")) << "in a base64 part";
  EXPECT_TRUE(has(peer.say("7 FETCH 1:* (FLAGS BODYSTRUCTURE ENVELOPE RFC822.SIZE)"), "7 OK "));
  EXPECT_TRUE(
      has(peer.say("8 FETCH 9 BODY.PEEK[2.HEADER.FIELDS (Subject)]"), "Subject: Disk almost full\r\n\r\n)"));
  options.any_password = "pw";
  LegacyServer fixed(options);
  Peer other(fixed);
  EXPECT_TRUE(has(other.say("1 LOGIN x pw"), "1 OK "));
}

TEST(SessionOptions, StartTls) {
  ServerOptions options = options_with();
  options.starttls = true;
  LegacyServer server(options);
  Peer peer(server);
  EXPECT_TRUE(has(peer.take(), " STARTTLS "));
  EXPECT_EQ(peer.raw("1 STARTTLS\r\n2 NOOP\r\n"), "1 OK Begin TLS negotiation now\r\n");
  EXPECT_TRUE(peer.tls);
  EXPECT_FALSE(has(peer.say("3 CAPABILITY"), "STARTTLS"));
  EXPECT_TRUE(has(peer.say("4 STARTTLS"), "4 BAD "));
  LegacyServer without(options_with());
  Peer plain(without);
  plain.take();
  EXPECT_TRUE(has(plain.say("1 STARTTLS"), "1 BAD "));
}

TEST_F(Session, Select) {
  fill(server, 3);
  server.store().store_flags(*server.store().find("alice", "INBOX"), 1, StoreMode::kAdd, {"\\Seen", "$Work"});
  peer.log_in();
  EXPECT_EQ(peer.say("1 SELECT inbox"),
            "* FLAGS ($Work \\Answered \\Deleted \\Draft \\Flagged \\Seen)\r\n"
            "* OK [PERMANENTFLAGS ($Work \\Answered \\Deleted \\Draft \\Flagged \\Seen \\*)] Flags\r\n"
            "* 3 EXISTS\r\n* 3 RECENT\r\n* OK [UNSEEN 2] First unseen\r\n* OK [UIDVALIDITY 7] UIDs valid\r\n"
            "* OK [UIDNEXT 4] Predicted next UID\r\n1 OK [READ-WRITE] SELECT completed\r\n");
  std::string examined = peer.say("2 EXAMINE INBOX");
  EXPECT_TRUE(has(examined, "* OK [PERMANENTFLAGS ()] Flags\r\n"));
  EXPECT_TRUE(has(examined, "* 0 RECENT\r\n"));
  EXPECT_TRUE(has(examined, "2 OK [READ-ONLY] EXAMINE completed\r\n"));
  EXPECT_EQ(peer.say("3 STORE 1 FLAGS (\\Seen)"), "3 NO Mailbox is read-only\r\n");
  EXPECT_EQ(peer.say("4 FETCH 2 BODY[TEXT]"),
            "* 2 FETCH (BODY[TEXT] {8}\r\nHello.\r\n)\r\n4 OK FETCH completed\r\n");
  EXPECT_TRUE(has(peer.say("5 SELECT none"), "5 NO "));
  EXPECT_EQ(peer.say("6 FETCH 1 UID"), "6 BAD Command not allowed now\r\n");
  EXPECT_EQ(server.violations().total(), 0U);
  EXPECT_TRUE(has(peer.say("7 SELECT INBOX (CONDSTORE)"), "7 BAD "));
}

TEST_F(Session, Mailboxes) {
  peer.log_in();
  EXPECT_EQ(peer.say("1 CREATE Work/2024/"), "1 OK CREATE completed\r\n");
  EXPECT_TRUE(has(peer.say("2 CREATE Work"), "2 NO "));
  EXPECT_TRUE(has(peer.say("3 CREATE inbox"), "3 NO "));
  EXPECT_EQ(peer.say("4 LIST \"\" *"),
            "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\HasChildren) \"/\" Work\r\n"
            "* LIST (\\HasNoChildren) \"/\" Work/2024\r\n4 OK LIST completed\r\n");
  EXPECT_EQ(peer.say("5 LIST \"\" \"\""), "* LIST (\\Noselect) \"/\" \"\"\r\n5 OK LIST completed\r\n");
  EXPECT_EQ(peer.say("6 LIST Work/ %"),
            "* LIST (\\HasNoChildren) \"/\" Work/2024\r\n6 OK LIST completed\r\n");
  EXPECT_EQ(peer.say("7 DELETE Work"), "7 OK DELETE completed\r\n");
  EXPECT_TRUE(has(peer.say("8 LIST \"\" Work"), "* LIST (\\Noselect \\HasChildren) \"/\" Work\r\n"));
  EXPECT_TRUE(has(peer.say("9 SELECT Work"), "9 NO "));
  EXPECT_EQ(peer.say("10 RENAME Work \"My Work\""), "10 OK RENAME completed\r\n");
  EXPECT_TRUE(has(peer.say("11 LIST \"\" *4"), "* LIST (\\HasNoChildren) \"/\" \"My Work/2024\"\r\n"));
  EXPECT_EQ(peer.say("12 SUBSCRIBE \"My Work/2024\""), "12 OK SUBSCRIBE completed\r\n");
  EXPECT_TRUE(has(peer.say("13 SUBSCRIBE none"), "13 NO "));
  EXPECT_EQ(peer.say("14 LSUB \"\" %"), "* LSUB (\\Noselect) \"/\" \"My Work\"\r\n14 OK LSUB completed\r\n");
  EXPECT_EQ(peer.say("15 LSUB \"\" *"), "* LSUB () \"/\" \"My Work/2024\"\r\n15 OK LSUB completed\r\n");
  EXPECT_EQ(peer.say("16 UNSUBSCRIBE \"My Work/2024\""), "16 OK UNSUBSCRIBE completed\r\n");
  EXPECT_EQ(peer.say("17 LSUB \"\" *"), "17 OK LSUB completed\r\n");
  EXPECT_TRUE(has(peer.say("18 DELETE INBOX"), "18 NO "));
  EXPECT_TRUE(has(peer.say("19 DELETE none"), "19 NO "));
  EXPECT_TRUE(has(peer.say("20 RENAME none other"), "20 NO "));
  EXPECT_EQ(peer.say("21 NAMESPACE"), "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n21 OK NAMESPACE completed\r\n");
  EXPECT_TRUE(has(peer.say("22 CREATE \"a*\""), "22 NO "));
  EXPECT_TRUE(has(peer.say("23 RENAME Inbox Old"), "23 OK "));
  EXPECT_TRUE(has(peer.say("24 LIST \"\" O%"), "* LIST (\\HasNoChildren) \"/\" Old\r\n"));
}

TEST_F(Session, Status) {
  fill(server, 2);
  peer.log_in();
  EXPECT_EQ(
      peer.say("1 STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)"),
      "* STATUS INBOX (MESSAGES 2 RECENT 2 UIDNEXT 3 UIDVALIDITY 7 UNSEEN 2)\r\n1 OK STATUS completed\r\n");
  EXPECT_TRUE(has(peer.say("2 STATUS none (MESSAGES)"), "2 NO "));
  EXPECT_TRUE(has(peer.say("3 STATUS INBOX (FROB)"), "3 BAD "));
  EXPECT_TRUE(has(peer.say("4 STATUS INBOX ()"), "4 BAD "));
  EXPECT_TRUE(has(peer.say("5 STATUS INBOX MESSAGES"), "5 BAD "));
}

TEST_F(Session, Append) {
  peer.log_in();
  EXPECT_EQ(peer.say("1 APPEND INBOX (\\Seen $Work \\Recent) \"17-Jul-1996 02:44:25 -0700\" {5}"),
            "+ Ready for literal\r\n");
  EXPECT_EQ(peer.say("\r\nabc"), "1 OK [APPENDUID 7 1] APPEND completed\r\n");
  EXPECT_EQ(peer.say("2 APPEND none {5}"), "2 NO [TRYCREATE] No such mailbox\r\n");
  EXPECT_EQ(peer.say("3 APPEND none {5+}\r\nabcde"), "3 NO [TRYCREATE] No such mailbox\r\n");
  EXPECT_EQ(peer.say("4 APPEND INBOX {5+}\r\nabcde"), "4 OK [APPENDUID 7 2] APPEND completed\r\n");
  EXPECT_TRUE(has(peer.say("5 APPEND INBOX (\\Frob) {5}"), "5 BAD "));
  EXPECT_TRUE(has(peer.say("6 APPEND INBOX \"yesterday\" {5}"), "6 BAD "));
  EXPECT_TRUE(has(peer.say("7 APPEND INBOX abc"), "7 BAD "));
  EXPECT_TRUE(has(peer.say("8 APPEND INBOX {999999999}"), "8 NO [LIMIT]"));
  EXPECT_TRUE(has(peer.say("9 APPEND INBOX {3+}\r\nabc {3+}\r\ndef"), "9 BAD "));
  EXPECT_TRUE(has(peer.raw(std::string("a APPEND INBOX {3+}\r\na\0b\r\n", 26)), "a NO "));
  EXPECT_TRUE(has(peer.say("b APPEND INBOX {0+}\r\n"), "b NO "));
  peer.say("s SELECT INBOX");
  EXPECT_EQ(peer.say("c UID FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"),
            "* 1 FETCH (UID 1 FLAGS ($Work \\Seen \\Recent) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" "
            "RFC822.SIZE 5 "
            "BODY[] {5}\r\n\r\nabc)\r\nc OK UID FETCH completed\r\n");
  std::string big(300'000, 'x');
  EXPECT_TRUE(has(peer.say("d APPEND INBOX {300000+}\r\n" + big), "* 3 EXISTS\r\n* 3 RECENT\r\nd OK "));
  EXPECT_EQ(server.violations().total(), 0U);
}

TEST_F(Session, Fetch) {
  server.store().append("alice", "INBOX", mail("one"));
  server.store().append("alice", "INBOX", mail("two"));
  peer.in();
  EXPECT_EQ(peer.say("1 FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject TO)] UID)"),
            "* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT TO)] {37}\r\nTo: bob@example.org\r\nSubject: one\r\n\r\n "
            "UID 1)\r\n"
            "1 OK FETCH completed\r\n");
  EXPECT_TRUE(has(peer.say("2 FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (\"From\" DATE To)]"),
                  "BODY[HEADER.FIELDS.NOT (FROM DATE TO)] {16}\r\nSubject: one\r\n\r\n)"));
  EXPECT_TRUE(has(peer.say("3 FETCH 1 BODY.PEEK[TEXT]<1.3>"), "BODY[TEXT]<1> {3}\r\nell)"));
  EXPECT_TRUE(has(peer.say("4 FETCH 1 BODY.PEEK[TEXT]<100.3>"), "BODY[TEXT]<100> {0}\r\n)"));
  EXPECT_TRUE(has(peer.say("5 FETCH 1 BODY.PEEK[1]"), "BODY[1] {8}\r\nHello.\r\n)"));
  EXPECT_TRUE(has(peer.say("6 FETCH 1 BODY.PEEK[2]"), "BODY[2] NIL)"));
  EXPECT_TRUE(has(peer.say("7 FETCH 1 BODY.PEEK[1.MIME]"), "BODY[1.MIME] {"));
  EXPECT_EQ(peer.say("8 FETCH 1 BODY[TEXT]"),
            "* 1 FETCH (BODY[TEXT] {8}\r\nHello.\r\n FLAGS (\\Seen \\Recent))\r\n8 OK FETCH completed\r\n");
  EXPECT_EQ(peer.say("9 FETCH 1 RFC822.TEXT"),
            "* 1 FETCH (RFC822.TEXT {8}\r\nHello.\r\n)\r\n9 OK FETCH completed\r\n");
  EXPECT_TRUE(has(peer.say("10 FETCH 2 RFC822.HEADER"), "\r\n\r\n)\r\n10 OK"));
  EXPECT_TRUE(has(peer.say("11 FETCH 2 FLAGS"), "* 2 FETCH (FLAGS (\\Recent))"));
  EXPECT_TRUE(has(peer.say("12 FETCH 2 (RFC822 FLAGS)"), " FLAGS (\\Seen \\Recent))"));
  EXPECT_TRUE(has(peer.say("13 FETCH * FULL"),
                  "BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 8 1))"));
  EXPECT_TRUE(has(peer.say("14 FETCH 1:2 fast"), "* 2 FETCH (FLAGS"));
  EXPECT_TRUE(has(peer.say("15 UID FETCH 1:* ALL"), "* 1 FETCH (UID 1 FLAGS "));
  EXPECT_EQ(peer.say("16 UID FETCH 77 FLAGS"), "16 OK UID FETCH completed\r\n");
  EXPECT_TRUE(has(peer.say("17 UID FETCH 77:* UID"), "* 2 FETCH (UID 2)\r\n"));
  for (const char* bad :
       {"FETCH 3 FLAGS", "FETCH 0 FLAGS", "FETCH 1", "FETCH 1 FROB", "FETCH 1 (FLAGS", "FETCH 1 (FLAGS ALL)",
        "FETCH 1 BODY[MIME]", "FETCH 1 BODY[1", "FETCH 1 BODY[1.]", "FETCH 1 BODY[0]", "FETCH 1 BODY[]<1>",
        "FETCH 1 BODY[]<1.0>", "FETCH 1 BODY[HEADER.FIELDS]", "FETCH 1 BODY[HEADER.FIELDS ()]",
        "FETCH x FLAGS", "FETCH 1 FLAGS x", "FETCH 1 ()"}) {
    EXPECT_TRUE(has(peer.say(std::string("x ") + bad), "x BAD ")) << bad;
  }
}

TEST_F(Session, Store) {
  fill(server, 3);
  peer.in();
  EXPECT_EQ(peer.say("1 STORE 1:2 +FLAGS (\\Seen $Work)"),
            "* 1 FETCH (FLAGS ($Work \\Seen \\Recent))\r\n* 2 FETCH (FLAGS ($Work \\Seen \\Recent))\r\n"
            "* FLAGS ($Work \\Answered \\Deleted \\Draft \\Flagged \\Seen)\r\n"
            "* OK [PERMANENTFLAGS ($Work \\Answered \\Deleted \\Draft \\Flagged \\Seen \\*)] Flags\r\n"
            "1 OK STORE completed\r\n");
  EXPECT_EQ(peer.say("2 UID STORE 1 -FLAGS.SILENT $work"), "2 OK UID STORE completed\r\n");
  EXPECT_EQ(peer.say("3 UID STORE 1 FLAGS \\deleted \\FLAGGED"),
            "* 1 FETCH (UID 1 FLAGS (\\Deleted \\Flagged \\Recent))\r\n3 OK UID STORE completed\r\n");
  EXPECT_EQ(peer.say("4 STORE 1 FLAGS ()"), "* 1 FETCH (FLAGS (\\Recent))\r\n4 OK STORE completed\r\n");
  for (const char* bad :
       {"STORE 4 FLAGS ()", "STORE 1 FROB ()", "STORE 1 FLAGS", "STORE 1 FLAGS (\\Frob)", "STORE 1"})
    EXPECT_TRUE(has(peer.say(std::string("x ") + bad), "x BAD ")) << bad;
}

TEST_F(Session, ExpungeAndClose) {
  fill(server, 5);
  peer.in();
  peer.say("1 STORE 2,4 +FLAGS.SILENT \\Deleted");
  EXPECT_EQ(peer.say("2 EXPUNGE"), "* 4 EXPUNGE\r\n* 2 EXPUNGE\r\n2 OK EXPUNGE completed\r\n");
  EXPECT_TRUE(has(peer.say("3 FETCH 1:* UID"), "* 2 FETCH (UID 3)\r\n* 3 FETCH (UID 5)\r\n"));
  peer.say("4 STORE 1:2 +FLAGS.SILENT \\Deleted");
  EXPECT_EQ(peer.say("5 UID EXPUNGE 3:4"), "* 2 EXPUNGE\r\n5 OK UID EXPUNGE completed\r\n");
  EXPECT_EQ(peer.say("6 UNSELECT"), "6 OK UNSELECT completed\r\n");
  EXPECT_EQ(server.store().snapshot("alice", "INBOX")->messages.size(), 2U);
  peer.say("7 EXAMINE INBOX");
  EXPECT_EQ(peer.say("8 CLOSE"), "8 OK CLOSE completed\r\n");
  EXPECT_EQ(server.store().snapshot("alice", "INBOX")->messages.size(), 2U);
  peer.say("9 SELECT INBOX");
  EXPECT_EQ(peer.say("10 CHECK"), "10 OK CHECK completed\r\n");
  EXPECT_EQ(peer.say("11 CLOSE"), "11 OK CLOSE completed\r\n");
  EXPECT_EQ(server.store().snapshot("alice", "INBOX")->messages.size(), 1U);
  EXPECT_TRUE(has(peer.say("12 CLOSE"), "12 BAD "));
}

TEST_F(Session, CopyAndMove) {
  fill(server, 4);
  peer.in();
  EXPECT_EQ(peer.say("1 COPY 1:2 Other"), "1 NO [TRYCREATE] No such mailbox\r\n");
  peer.say("2 CREATE Other");
  peer.say("3 STORE 2 +FLAGS.SILENT (\\Seen)");
  EXPECT_EQ(peer.say("4 COPY 1:2,4 Other"), "4 OK [COPYUID 9 1:2,4 1:3] COPY completed\r\n");
  EXPECT_EQ(peer.say("5 UID MOVE 2:3 Other"),
            "* OK [COPYUID 9 2:3 4:5] Moved\r\n* 3 EXPUNGE\r\n* 2 EXPUNGE\r\n5 OK UID MOVE completed\r\n");
  EXPECT_EQ(peer.say("6 UID COPY 99 Other"), "6 OK UID COPY completed\r\n");
  EXPECT_TRUE(has(peer.say("7 MOVE 3 Other"), "7 BAD "));
  EXPECT_TRUE(has(peer.say("8 COPY 1 inbox"), "* 3 EXISTS\r\n")) << "into itself";
  auto other = server.store().snapshot("alice", "Other");
  ASSERT_EQ(other->messages.size(), 5U);
  EXPECT_TRUE(other->messages[1].flags.contains("\\Seen"));
  EXPECT_EQ(other->messages[2].internal_date.seconds, 1709540100 + 4 * 86400);
  EXPECT_EQ(server.violations().total(), 0U);
}

TEST_F(Session, Search) {
  fill(server, 4);
  server.store().append(
      "alice", "INBOX",
      "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\nCc: carl@example.org\r\nDate: 1 Jan 2020 00:00 GMT\r\n"
      "X-Big: yes\r\n\r\nlong " +
          std::string(500, 'x') + " Tail\r\n",
      {"\\Flagged", "$Work"}, ZonedTime{1000, 0});
  peer.in();
  peer.say("s STORE 1 +FLAGS.SILENT (\\Seen \\Deleted)");
  auto search = [&](std::string_view keys) {
    std::string answer = peer.say("1 SEARCH " + std::string(keys));
    return answer.substr(0, answer.find('\r'));
  };
  EXPECT_EQ(search("ALL"), "* SEARCH 1 2 3 4 5");
  EXPECT_EQ(search("UNSEEN"), "* SEARCH 2 3 4 5");
  EXPECT_EQ(search("seen"), "* SEARCH 1");
  EXPECT_EQ(search("NOT DELETED FLAGGED"), "* SEARCH 5");
  EXPECT_EQ(search("OR SEEN KEYWORD $work"), "* SEARCH 1 5");
  EXPECT_EQ(search("UNKEYWORD $Work UNANSWERED UNDRAFT UNFLAGGED UNDELETED"), "* SEARCH 2 3 4");
  EXPECT_EQ(search("2:3,5"), "* SEARCH 2 3 5");
  EXPECT_EQ(search("UID 4:*"), "* SEARCH 4 5");
  EXPECT_EQ(search("*"), "* SEARCH 5");
  EXPECT_EQ(search("(1:3 NOT 2) NOT (3)"), "* SEARCH 1");
  EXPECT_EQ(search("OR (1) OR 2 (3 4)"), "* SEARCH 1 2");
  EXPECT_EQ(search("SUBJECT \"BER 3\""), "* SEARCH 3");
  EXPECT_EQ(search("CHARSET UTF-8 SUBJECT {5+}\r\ngr\xc3\xbc"
                   "\xc3"),
            "* SEARCH 5");
  EXPECT_EQ(search("FROM ann"), "* SEARCH 1 2 3 4");
  EXPECT_EQ(search("TO BOB CC x"), "* SEARCH");
  EXPECT_EQ(search("CC carl BCC x"), "* SEARCH");
  EXPECT_EQ(search("HEADER X-Big \"\""), "* SEARCH 5");
  EXPECT_EQ(search("HEADER Subject number"), "* SEARCH 1 2 3 4");
  EXPECT_EQ(search("BODY tail"), "* SEARCH 5");
  EXPECT_EQ(search("BODY x-big"), "* SEARCH");
  EXPECT_EQ(search("TEXT x-big"), "* SEARCH 5");
  EXPECT_EQ(search("LARGER 400"), "* SEARCH 5");
  EXPECT_EQ(search("SMALLER 400 NOT SEEN"), "* SEARCH 2 3 4");
  EXPECT_EQ(search("SINCE 6-Mar-2024"), "* SEARCH 2 3 4");
  EXPECT_EQ(search("ON 6-Mar-2024"), "* SEARCH 2");
  EXPECT_EQ(search("BEFORE \"6-Mar-2024\""), "* SEARCH 1 5");
  EXPECT_EQ(search("SENTON 4-Mar-2024"), "* SEARCH 1 2 3 4");
  EXPECT_EQ(search("SENTBEFORE 1-Jan-2021"), "* SEARCH 5");
  EXPECT_EQ(search("SENTSINCE 2-Jan-2020 NEW"), "* SEARCH 2 3 4");
  EXPECT_EQ(search("RECENT"), "* SEARCH 1 2 3 4 5");
  EXPECT_EQ(search("OLD"), "* SEARCH");
  EXPECT_EQ(search("CHARSET KOI8-R ALL"), "1 NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset");
  EXPECT_EQ(peer.say("2 UID SEARCH SEEN"), "* SEARCH 1\r\n2 OK UID SEARCH completed\r\n");
  for (const char* bad : {"", "FROB", "NOT", "OR 1", "(1", "1)", "()", "LARGER x", "ON 1-Foo-2024",
                          "HEADER x", "UID", "CHARSET", "0", "SINCE", "KEYWORD"})
    EXPECT_TRUE(has(search(bad), "1 BAD ")) << bad;
  EXPECT_TRUE(has(search(std::string(5000, '(')), "1 BAD "));
}

TEST_F(Session, IdleTellsDeliveries) {
  peer.in();
  EXPECT_EQ(peer.say("1 IDLE"), "+ idling\r\n");
  server.store().append("alice", "INBOX", mail("new"));
  EXPECT_EQ(peer.take(), "");
  server.on_tick();
  EXPECT_EQ(peer.take(), "* 1 EXISTS\r\n* 1 RECENT\r\n");
  server.store().expunge("alice", "INBOX", 1);
  server.on_tick();
  server.on_tick();
  EXPECT_EQ(peer.take(), "* 1 EXPUNGE\r\n");
  EXPECT_EQ(peer.say("done"), "1 OK IDLE terminated\r\n");
  peer.say("2 IDLE");
  EXPECT_TRUE(has(peer.say("3 NOOP"), "2 BAD "));
}

TEST(SessionQuirks, IdleWithoutPushes) {
  Quirks quirks;
  quirks.idle_pushes = false;
  LegacyServer server(options_with(quirks));
  Peer peer(server);
  peer.in();
  peer.say("1 IDLE");
  server.store().append("alice", "INBOX", mail("new"));
  server.on_tick();
  EXPECT_EQ(peer.take(), "");
  EXPECT_EQ(peer.say("DONE"), "* 1 EXISTS\r\n* 1 RECENT\r\n1 OK IDLE terminated\r\n");
}

TEST(SessionQuirks, BareServer) {
  Quirks quirks;
  quirks.has_unselect = quirks.has_idle = quirks.has_literal_plus = quirks.has_uidplus = quirks.has_move =
      quirks.has_namespace = false;
  LegacyServer server(options_with(quirks));
  fill(server, 2);
  Peer peer(server);
  EXPECT_TRUE(has(peer.take(), "[CAPABILITY IMAP4rev1 SASL-IR CHILDREN ID AUTH=PLAIN AUTH=LOGIN]"));
  EXPECT_TRUE(has(peer.say("1 LOGIN {5+}\r\nalice secret"), "1 BAD "));
  peer.in();
  for (const char* off : {"UNSELECT", "IDLE", "NAMESPACE", "MOVE 1 INBOX", "UID MOVE 1 INBOX",
                          "UID EXPUNGE 1", "SORT (DATE) UTF-8 ALL", "ENABLE CONDSTORE", "GETQUOTAROOT INBOX"})
    EXPECT_EQ(peer.say(std::string("x ") + off), "x BAD Unknown command\r\n") << off;
  EXPECT_TRUE(has(peer.say("2 APPEND INBOX {3+}\r\nabc"), "2 BAD Invalid literal\r\n"));
  EXPECT_EQ(peer.say("3 APPEND INBOX {3}"), "+ Ready for literal\r\n");
  EXPECT_TRUE(has(peer.say("abc"), "3 OK APPEND completed\r\n"));
  EXPECT_TRUE(has(peer.say("4 COPY 1 INBOX"), "4 OK COPY completed\r\n"));
}

}  // namespace
}  // namespace imapmux::demo
