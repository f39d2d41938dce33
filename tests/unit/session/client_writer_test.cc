// No line lands inside another response.
#include "session/client_writer.h"

#include <gtest/gtest.h>

#include "support/memory_stream.h"

namespace imapmux::session {
namespace {

using backend::LiteralStart;
using wire::ResponseName;

struct ClientWriterTest : testing::Test {
  testing_support::MemoryPeer peer;
  std::unique_ptr<net::Stream> stream = peer.stream();
  ClientWriter writer;
  ClientWriterTest() { writer.set_stream(stream.get()); }
};

TEST_F(ClientWriterTest, LinesAreWrittenAsTheyCome) {
  writer.untagged("OK hello");
  writer.go_ahead("idling");
  writer.pass_line("* 1 FETCH (BODY[] {3}\r\nabc)");
  writer.tagged("a1", "BAD [CODE] text");
  EXPECT_EQ(peer.take_written(),
            "* OK hello\r\n+ idling\r\n* 1 FETCH (BODY[] {3}\r\nabc)\r\na1 BAD [CODE] text\r\n");
}

TEST_F(ClientWriterTest, FlagsAreToldWithAndWithoutUid) {
  writer.untagged_flags(4'294'967'295, 4'294'967'295, "(\\Seen)");
  writer.untagged_flags(1, 0, "()");
  EXPECT_EQ(peer.take_written(),
            "* 4294967295 FETCH (UID 4294967295 FLAGS (\\Seen))\r\n* 1 FETCH (FLAGS ())\r\n");
  writer.begin_fetch(1, "(BODY[] ", LiteralStart{3, false});
  writer.untagged_flags(2, 0, "()");
  writer.pass_literal("abc");
  writer.pass_text(")", nullptr);
  EXPECT_EQ(peer.take_written(), "* 1 FETCH (BODY[] {3}\r\nabc)\r\n* 2 FETCH (FLAGS ())\r\n");
}

TEST_F(ClientWriterTest, ABackendsAnswerGoesOutUnderTheClientsTag) {
  writer.tagged("a1",
                {.status = ResponseName::kOk, .code = "COPYUID", .code_arguments = "1 2 3", .text = "done"});
  writer.tagged("a2", {.status = ResponseName::kNo, .code = "TRYCREATE", .code_arguments = "", .text = "no"});
  writer.tagged("a3", {.status = ResponseName::kBad, .code = "", .code_arguments = "", .text = "what"});
  EXPECT_EQ(peer.take_written(), "a1 OK [COPYUID 1 2 3] done\r\na2 NO [TRYCREATE] no\r\na3 BAD what\r\n");
}

TEST_F(ClientWriterTest, ATaggedAnswerAlwaysHasAText) {
  writer.tagged("a1", {.status = ResponseName::kOk, .code = "", .code_arguments = "", .text = ""});
  writer.tagged("a2", {.status = ResponseName::kOk, .code = "READ-ONLY", .code_arguments = "", .text = ""});
  EXPECT_EQ(peer.take_written(), "a1 OK done\r\na2 OK [READ-ONLY] done\r\n");
}

TEST_F(ClientWriterTest, TheBackendsCapabilitiesAreNotPassedOnInAnAnswer) {
  writer.tagged(
      "a1", {.status = ResponseName::kOk, .code = "CAPABILITY", .code_arguments = "QRESYNC", .text = "in"});
  EXPECT_EQ(peer.take_written(), "a1 OK in\r\n");
}

TEST_F(ClientWriterTest, WhatIsHeldGoesOutAtTheEnd) {
  writer.hold_passed(100);
  writer.pass_line("* LIST () NIL a");
  const LiteralStart three{3, false};
  writer.pass_start("* LIST () NIL ", three);
  writer.pass_literal("b c");
  writer.pass_text("", nullptr);
  writer.untagged("OK [ALERT] for everybody");
  EXPECT_EQ(peer.take_written(), "* OK [ALERT] for everybody\r\n");
  writer.release_passed();
  writer.tagged("a1", "OK listed");
  EXPECT_EQ(peer.take_written(), "* LIST () NIL a\r\n* LIST () NIL {3}\r\nb c\r\na1 OK listed\r\n");
}

TEST_F(ClientWriterTest, WhatIsHeldIsForgottenIfItComesAgain) {
  writer.hold_passed(100);
  writer.pass_line("* LIST () NIL a");
  writer.pass_start("* LIST () NIL ", LiteralStart{3, false});
  EXPECT_TRUE(writer.drop_passed());
  EXPECT_FALSE(writer.inside_response());
  writer.pass_line("* LIST () NIL a");
  EXPECT_EQ(peer.take_written(), "* LIST () NIL a\r\n");
}

TEST_F(ClientWriterTest, MoreThanMayBeHeldGoesOut) {
  writer.hold_passed(20);
  writer.pass_line("* LIST () NIL a");
  writer.pass_start("* LIST () NIL ", LiteralStart{3, false});
  writer.pass_literal("b");
  EXPECT_EQ(peer.take_written(), "* LIST () NIL a\r\n* LIST () NIL {3}\r\nb");
  EXPECT_FALSE(writer.drop_passed()) << "it can't come again";
  EXPECT_TRUE(writer.inside_response());
}

TEST_F(ClientWriterTest, WhileAResponseIsPassedOnOtherLinesWaitForItsEnd) {
  writer.pass_start("* 1 FETCH (BODY[1] ", {5, false});
  EXPECT_TRUE(writer.inside_response());
  writer.untagged("2 EXISTS");
  writer.pass_literal("ab");
  writer.go_ahead("go");
  writer.pass_literal("cde");
  writer.pass_line("* 3 RECENT");
  EXPECT_EQ(peer.take_written(), "* 1 FETCH (BODY[1] {5}\r\nabcde");
  const LiteralStart second{2, true};
  writer.pass_text(" BINARY[2] ", &second);
  writer.tagged("a1", "OK done");
  writer.tagged("a2", {.status = ResponseName::kNo, .code = "", .code_arguments = "", .text = "no"});
  writer.pass_literal("xy");
  EXPECT_TRUE(writer.inside_response());
  EXPECT_EQ(peer.take_written(), " BINARY[2] ~{2}\r\nxy");
  writer.pass_text(")", nullptr);
  EXPECT_FALSE(writer.inside_response());
  EXPECT_EQ(peer.take_written(), ")\r\n* 2 EXISTS\r\n+ go\r\n* 3 RECENT\r\na1 OK done\r\na2 NO no\r\n");
  writer.untagged("OK later");
  EXPECT_EQ(peer.take_written(), "* OK later\r\n") << "and nothing is told twice";
}

TEST_F(ClientWriterTest, BehindAnAbandonedResponseNothingMayBeWritten) {
  writer.pass_start("* 1 FETCH (BODY[1] ", {500, false});
  writer.pass_literal("ab");
  peer.take_written();
  writer.abandon_response();
  writer.untagged("BYE sorry");
  writer.tagged("a1", "NO lost");
  writer.pass_text(")", nullptr);
  EXPECT_EQ(peer.take_written(), "") << "the client would take it for the message";
}

TEST_F(ClientWriterTest, BetweenResponsesThereIsNothingToAbandon) {
  writer.abandon_response();
  writer.untagged("BYE sorry");
  EXPECT_EQ(peer.take_written(), "* BYE sorry\r\n");
}

}  // namespace
}  // namespace imapmux::session
