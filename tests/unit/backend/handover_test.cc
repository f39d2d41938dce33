// What is done with a connection besides running commands: closing it, STARTTLS, the hand-over to a relay.
#include "unit/backend/harness.h"
#include "unit/wire/every_split.h"

namespace imapmux::backend {
namespace {

using wire::Chunks;
using wire::every_split;

TEST(BackendCloseTest, ClosingSaysLogoutAndWaitsUntilTheServerHasClosed) {
  Harness h;
  h.greeted();
  h.close(5'000);
  EXPECT_EQ(h.written(), "m1 LOGOUT\r\n");
  h.say("* BYE see you\r\nm1 OK done\r\n");
  EXPECT_EQ(h.take_log(), "") << "the mailbox may still be open";
  h.eof();
  EXPECT_EQ(h.take_log(), "closed\n");
  EXPECT_TRUE(h.peer.aborted());
}

TEST(BackendCloseTest, ClosingWaitsNoLongerThanItsLimit) {
  Harness h;
  h.greeted();
  h.close(5'000);
  h.advance(2'000);
  h.say("* 1 EXISTS\r\n* BYE see you\r\n");
  h.advance(2'999);
  EXPECT_EQ(h.take_log(), "");
  h.advance(1);
  EXPECT_EQ(h.take_log(), "closed\n");
  EXPECT_TRUE(h.connection->lost());
  EXPECT_TRUE(h.peer.aborted());
}

TEST(BackendCloseTest, ClosingAPausedConnectionReadsItsEnd) {
  Harness h;
  h.greeted();
  h.connection->pause();
  h.close(5'000);
  EXPECT_TRUE(h.peer.reading());
  h.say("* 1 EXISTS\r\n");
  h.eof();
  EXPECT_EQ(h.take_log(), "closed\n") << "and nobody hears of the rest";
}

TEST(BackendCloseTest, ClosingWhileIdlingDoesNotWaitForEver) {
  Harness h;
  h.greeted();
  h.connection->send(h.connection->next_tag(), "m1 IDLE\r\n", h.recorder);
  h.connection->expect_silence();
  h.close(5'000);
  h.advance(5'000);
  EXPECT_EQ(h.take_log(), "command lost: closed by the proxy\nclosed\n");
}

TEST(BackendCloseTest, CancellingDoesNotInterruptClosing) {
  Harness h;
  h.greeted();
  h.close(5'000);
  h.scope.cancel();
  EXPECT_EQ(h.take_log(), "") << "the mailbox may still be open";
  h.eof();
  EXPECT_EQ(h.take_log(), "closed\n");
}

TEST(BackendCloseTest, ACancelledTaskMayClose) {
  Harness h;
  h.greeted();
  h.scope.cancel();
  h.close(5'000);
  EXPECT_EQ(h.written(), "m1 LOGOUT\r\n");
  h.advance(5'000);
  EXPECT_EQ(h.take_log(), "closed\n");
}

TEST(BackendCloseTest, ClosingALostConnectionIsOverAtOnce) {
  Harness h;
  h.greeted();
  h.lose("reset");
  h.take_log();
  h.close(5'000);
  EXPECT_EQ(h.take_log(), "closed\n");
  EXPECT_EQ(h.written(), "");
}

TEST(BackendCloseTest, AbortingFailsWhatWaits) {
  Harness h;
  h.greeted();
  h.run("NOOP");
  h.connection->abort();
  EXPECT_EQ(h.take_log(), "backend lost: closed by the proxy\nNOOP failed: closed by the proxy\n");
  EXPECT_TRUE(h.peer.aborted());
}

TEST(BackendCloseTest, DestroyingItClosesTheStream) {
  Harness h;
  h.greeted();
  EXPECT_FALSE(h.peer.closed());
  h.connection.reset();
  EXPECT_TRUE(h.peer.closed());
}

// A relay takes over behind the answer of a login: every octet behind it, and none before.
TEST(BackendRelayTest, ParsingStopsBehindTheAnswerAndTheRestIsKeptOctetByOctet) {
  using namespace std::string_literals;
  const auto rest = "* 1 EX\r\n\0+ \n{5}\r\nm1 OK again\r\n"s;
  const auto log = every_split("* OK busy\r\nm1 OK [X] in\r\n" + rest, [&](const Chunks& chunks) {
    Harness h;
    h.greeted();
    h.connection->stop_after_answer();
    h.run("LOGIN a b");
    for (const auto chunk : chunks) h.say(chunk);
    auto stream = h.connection->take_stream();
    EXPECT_FALSE(h.peer.reading());
    const auto kept = h.connection->take_rest();
    EXPECT_EQ(kept, rest);
    EXPECT_EQ(h.connection->take_rest(), "");
    return h.take_log() + kept;
  });
  EXPECT_EQ(log, "untagged <* OK busy>\nLOGIN: OK [X] in\n" + rest);
}

TEST(BackendRelayTest, GoingOnParsesWhatWasKept) {
  const auto log =
      every_split("m1 NO out\r\n* 1 EXISTS\r\n* 2 FETCH (UID 7)\r\nm2 OK\r\n", [](const Chunks& chunks) {
        Harness h;
        h.greeted();
        h.connection->stop_after_answer();
        h.run("LOGIN a b");
        for (const auto chunk : chunks) h.say(chunk);
        EXPECT_EQ(h.take_log(), "LOGIN: NO out\n");
        h.connection->go_on();
        return h.take_log();
      });
  EXPECT_EQ(log, "untagged <* 1 EXISTS>\nuntagged <* 2 FETCH (UID 7)>\n");
}

TEST(BackendRelayTest, GoingOnHoldsInTheMiddleOfAResponse) {
  Harness h;
  h.greeted();
  h.connection->stop_after_answer();
  h.run("LOGIN a b");
  h.say("m1 OK in\r\n* 1 EX");
  h.connection->go_on();
  h.say("ISTS\r\n");
  EXPECT_EQ(h.take_log(), "LOGIN: OK in\nuntagged <* 1 EXISTS>\n");
}

TEST(BackendRelayTest, WithSeveralCommandsItStopsBehindTheLastAnswer) {
  Harness h;
  h.greeted();
  h.connection->stop_after_answer();
  h.run("ONE");
  h.run("TWO");
  h.say("m2 OK b\r\n* 1 EXISTS\r\nm1 OK a\r\n* 2 EXISTS\r\n");
  h.take_log();
  EXPECT_EQ(h.connection->take_rest(), "* 2 EXISTS\r\n");
}

TEST(BackendRelayTest, TheEndBehindTheAnswerIsToldAndTheRestIsThere) {
  Harness h;
  h.greeted();
  h.connection->stop_after_answer();
  h.run("LOGIN a b");
  h.say("m1 OK in\r\n* BYE shutting down\r\n");
  EXPECT_EQ(h.take_log(), "LOGIN: OK in\n");
  h.eof();
  EXPECT_TRUE(h.connection->lost());
  EXPECT_EQ(h.connection->take_rest(), "* BYE shutting down\r\n");
}

TEST(BackendStarttlsTest, WhatCameInTheClearBehindTheAnswerIsNotBelieved) {
  const auto log = every_split("m1 OK begin\r\n* CAPABILITY EVIL\r\n* OK [ALERT", [](const Chunks& chunks) {
    Harness h;
    h.greeted();
    h.run("STARTTLS");
    for (const auto chunk : chunks) h.say(chunk);
    auto plain = h.connection->take_stream();
    h.take_log();
    testing_support::MemoryPeer inside;
    h.connection->set_stream(inside.stream());
    h.connection->set_capabilities({});
    EXPECT_TRUE(inside.reading());
    h.run("CAPABILITY");
    h.scheduler.run_ready();
    EXPECT_EQ(inside.take_written(), "m2 CAPABILITY\r\n");
    inside.feed("* CAPABILITY IMAP4rev1\r\nm2 OK done\r\n");
    EXPECT_TRUE(h.connection->capabilities().has("IMAP4REV1"));
    EXPECT_FALSE(h.connection->capabilities().has("EVIL"));
    return h.take_log();
  });
  EXPECT_EQ(log, "CAPABILITY: OK done\n");
}

TEST(BackendStarttlsTest, TheStreamMayBeTakenInsideATurnAndTheOldOneTellsNothing) {
  Harness h;
  h.greeted();
  auto taken = h.connection->take_stream();
  h.peer.feed("* 1 EXISTS\r\n");
  h.peer.eof();
  EXPECT_EQ(h.take_log(), "");
  h.advance(10 * Harness::kTimeout);
  EXPECT_FALSE(h.connection->lost());
}

}  // namespace
}  // namespace imapmux::backend
