// Whatever a client sends, and whatever a mail looks like, the server stays up and answers what comes next.
#include <gtest/gtest.h>

#include <random>

#include "demo/sample_mail.h"
#include "unit/demo/peer.h"

namespace imapmux::demo {
namespace {

constexpr std::string_view kTalk =
    "1 LOGIN alice secret\r\n2 SELECT INBOX\r\n3 FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE "
    "BODY.PEEK[1.2]<0.9>)\r\n"
    "4 SEARCH OR (SUBJECT \"a b\" NOT 2:*) UID 1:4\r\n5 STORE 1,3 +FLAGS (\\Seen $Work)\r\n6 CREATE \"x/y "
    "z\"\r\n"
    "7 APPEND x {12}\r\nSubject: a\r\n\r\n8 UID COPY 1:2 x/y\r\n9 LIST \"\" *%/*\r\na RENAME x y\r\n"
    "b STATUS INBOX (MESSAGES UNSEEN)\r\nc IDLE\r\nDONE\r\nd UID MOVE 1 Sent\r\ne EXPUNGE\r\nf DELETE y\r\n"
    "g AUTHENTICATE PLAIN\r\nAGEAYg==\r\nh FETCH * BODY[HEADER.FIELDS (TO CC)]\r\ni CLOSE\r\n";

TEST(Garbage, MutatedConversations) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string talk(kTalk);
    size_t changes = 1 + random() % 8;
    for (size_t i = 0; i < changes; ++i) {
      size_t at = random() % talk.size();
      switch (random() % 4) {
        case 0:
          talk[at] = static_cast<char>(random() & 0xff);
          break;
        case 1:
          talk.erase(at, random() % 10);
          break;
        case 2:
          talk.insert(at, talk.substr(random() % talk.size(), random() % 20));
          break;
        default:
          talk.insert(at, 1, "(){}\"[]<>*%\\\r\n\0+"[random() % 16]);
      }
    }
    LegacyServer server(options_with(quirks_with(SecondSession::kAllowed)));
    fill(server, 4);
    server.store().create("alice", "Sent");
    Peer peer(server);
    for (size_t i = 0; i < talk.size();) {
      size_t piece = 1 + random() % 40;
      peer.session.receive(std::string_view(talk).substr(i, piece));
      i += piece;
    }
    Peer next(server);
    EXPECT_TRUE(has(next.say("1 LOGIN alice secret"), "1 OK ")) << round;
    EXPECT_TRUE(has(next.say("2 SELECT INBOX"), "2 OK ")) << round;
  }
}

TEST(Garbage, MutatedMail) {
  std::mt19937 random(2);
  MailStore samples;
  samples.ensure_user("u");
  add_sample_mail(samples, "u");
  auto messages = samples.snapshot("u", "INBOX")->messages;
  LegacyServer server(options_with());
  for (int round = 0; round < 200; ++round) {
    std::string text = messages[random() % messages.size()].octets->substr(0, 3000);
    for (int i = 0; i < 12; ++i) {
      size_t at = random() % std::min<size_t>(text.size(), 600);
      if (random() % 2 == 0) {
        text[at] = "<>(),:;@\"\\\r\n =?-"[random() % 16];
      } else {
        text.erase(at, random() % 5);
      }
    }
    server.store().append("alice", "INBOX", text);
  }
  Peer peer(server);
  peer.in();
  EXPECT_TRUE(
      has(peer.say(
              "1 FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[1] BODY.PEEK[2.HEADER] BODY.PEEK[1.MIME])"),
          "\r\n1 OK "));
  EXPECT_TRUE(has(peer.say("2 SEARCH OR TEXT xyzzy SENTSINCE 1-Jan-2024"), "\r\n2 OK "));
}

}  // namespace
}  // namespace imapmux::demo
