// A connection to a server that the test plays: greeting, commands, what goes wrong.
#include "unit/backend/harness.h"
#include "unit/wire/every_split.h"

namespace imapmux::backend {
namespace {

using base::Millis;
using wire::Chunks;
using wire::every_split;

TEST(BackendGreetingTest, AGreetingMayTellCapabilitiesAndComeInPieces) {
  const auto log = every_split("* OK [CAPABILITY IMAP4rev1 idle] hello\r\n", [](const Chunks& chunks) {
    Harness h;
    h.greet();
    for (const auto chunk : chunks) h.say(chunk);
    EXPECT_TRUE(h.connection->capabilities().has("IDLE"));
    EXPECT_EQ(h.connection->greeting(), "hello");
    EXPECT_FALSE(h.connection->greeted_preauth());
    return h.take_log();
  });
  EXPECT_EQ(log, "greeted\n");
}

TEST(BackendGreetingTest, AGreetingWithoutCapabilitiesLeavesThemUnknown) {
  Harness h;
  h.greeted("* OK ready\r\n");
  EXPECT_TRUE(h.connection->capabilities().empty());
}

TEST(BackendGreetingTest, PreauthIsAGreetingToo) {
  Harness h;
  h.greeted("* PREAUTH [CAPABILITY IMAP4rev1] hello bob\r\n");
  EXPECT_TRUE(h.connection->greeted_preauth());
}

TEST(BackendGreetingTest, AGreetingThatCameBeforeAnybodyAskedIsNotLost) {
  Harness h;
  h.say("* OK early\r\n");
  h.greet();
  EXPECT_EQ(h.take_log(), "greeted\n");
}

TEST(BackendGreetingTest, WhatIsNoGreetingEndsTheConnection) {
  for (const std::string_view garbage : {"* 5 EXISTS\r\n", "* NO sorry\r\n", "* BAD sorry\r\n",
                                         "HTTP/1.1 400 Bad Request\r\n", "\r\n", "* FLAGS (\\Seen)\r\n"}) {
    Harness h;
    h.greet();
    h.say(garbage);
    EXPECT_TRUE(h.connection->lost()) << garbage;
    EXPECT_NE(h.take_log().find("no greeting: "), std::string::npos) << garbage;
    EXPECT_FALSE(h.peer.reading());
  }
}

TEST(BackendGreetingTest, ByeInPlaceOfAGreetingSaysWhy) {
  Harness h;
  h.greet();
  h.say("* BYE too many connections\r\n");
  EXPECT_EQ(h.take_log(),
            "backend lost: refused: too many connections\nno greeting: refused: too many connections\n");
}

TEST(BackendGreetingTest, NoGreetingInTimeIsNoConnection) {
  Harness h;
  h.greet(500);
  h.say("* OK hal");
  h.advance(499);
  EXPECT_EQ(h.take_log(), "");
  h.advance(1);
  EXPECT_EQ(h.take_log(), "no greeting: no greeting came\n");
}

TEST(BackendGreetingTest, TheEndInPlaceOfAGreetingIsNoConnection) {
  Harness h;
  h.greet();
  h.eof();
  EXPECT_EQ(h.take_log(), "backend lost: closed by the server\nno greeting: closed by the server\n");
  Harness other;
  other.lose("reset");
  other.take_log();
  other.greet();
  EXPECT_EQ(other.take_log(), "no greeting: reset\n") << "also when it was lost before";
}

TEST(BackendCommandTest, ACommandIsAnsweredByItsTaggedEndAndTheRestGoesToTheObserver) {
  const auto log = every_split("* LIST () \"/\" INBOX\r\n* 3 EXISTS\r\nm1 ok [Code a b] done\r\n",
                               [](const Chunks& chunks) {
                                 Harness h;
                                 h.greeted();
                                 h.run("LIST \"\" *");
                                 EXPECT_EQ(h.written(), "m1 LIST \"\" *\r\n");
                                 for (const auto chunk : chunks) h.say(chunk);
                                 EXPECT_EQ(h.connection->in_flight(), 0U);
                                 return h.take_log();
                               });
  EXPECT_EQ(log, "untagged <* LIST () \"/\" INBOX>\nuntagged <* 3 EXISTS>\nLIST: OK [CODE a b] done\n");
}

TEST(BackendCommandTest, NoAndBadAreValues) {
  Harness h;
  h.greeted();
  h.run("SELECT x");
  h.say("m1 NO [nonexistent] no such mailbox\r\n");
  h.run("FOO");
  h.say("m2 BAD what?\r\n");
  EXPECT_EQ(h.take_log(), "SELECT: NO [NONEXISTENT] no such mailbox\nFOO: BAD what?\n");
}

TEST(BackendCommandTest, AnswersOutOfOrderFindTheirCommands) {
  Harness h;
  h.greeted();
  h.run("ONE");
  h.run("TWO");
  h.run("THREE");
  EXPECT_EQ(h.connection->in_flight(), 3U);
  h.say("m3 OK c\r\nm1 NO a\r\nm2 OK b\r\n");
  EXPECT_EQ(h.connection->in_flight(), 0U);
  const auto log = h.take_log();
  for (const std::string_view line : {"ONE: NO a\n", "TWO: OK b\n", "THREE: OK c\n"})
    EXPECT_NE(log.find(line), std::string::npos) << log;
}

TEST(BackendCommandTest, AnAnswerThatNobodyWaitsForIsDropped) {
  Harness h;
  h.greeted();
  h.say("m7 OK what\r\nx OK what\r\n");
  h.run("NOOP");
  h.say("m1 OK done\r\n");
  EXPECT_EQ(h.take_log(), "NOOP: OK done\n");
}

TEST(BackendCommandTest, CapabilitiesAreRememberedAndNotPassedOn) {
  Harness h;
  h.greeted();
  h.run("CAPABILITY");
  h.say("* CAPABILITY IMAP4rev1 Literal+\r\nm1 OK done\r\n");
  EXPECT_TRUE(h.connection->capabilities().has("LITERAL+"));
  EXPECT_EQ(h.take_log(), "CAPABILITY: OK done\n");
}

const std::string kAwkward = "a \"b\"\r\n\xc3\xa9";

TEST(BackendLiteralTest, ASynchronisingLiteralWaitsForTheGoAhead) {
  Harness h;
  h.greeted();
  h.run("LOGIN {8}\r\n" + kAwkward.substr(0, 8) + " {2}\r\n\xc3\xa9 plain");
  EXPECT_EQ(h.written(), "m1 LOGIN {8}\r\n");
  h.say("* OK still here\r\n");
  EXPECT_EQ(h.written(), "");
  h.say("+ go\r\n");
  EXPECT_EQ(h.written(), kAwkward.substr(0, 8) + " {2}\r\n");
  h.say("+ go\r\n");
  EXPECT_EQ(h.written(), "\xc3\xa9 plain\r\n");
  h.say("m1 OK done\r\n");
  EXPECT_EQ(h.take_log(), "untagged <* OK still here>\nLOGIN: OK done\n");
}

TEST(BackendLiteralTest, WithLiteralPlusEverythingGoesAtOnce) {
  Harness h;
  h.greeted("* OK [CAPABILITY IMAP4rev1 LITERAL+] x\r\n");
  h.run("LOGIN bob {2}\r\n\xc3\xa9");
  EXPECT_EQ(h.written(), "m1 LOGIN bob {2+}\r\n\xc3\xa9\r\n");
}

TEST(BackendLiteralTest, ALiteralThatIsRefusedIsNotSent) {
  Harness h;
  h.greeted();
  h.run("LOGIN bob {2}\r\n\xc3\xa9");
  h.written();
  h.say("m1 NO no\r\n");
  EXPECT_EQ(h.written(), "");
  EXPECT_EQ(h.take_log(), "LOGIN: NO no\n");
}

TEST(BackendLiteralTest, AGoAheadThatNobodyAskedForDoesNotLetALaterLiteralGo) {
  Harness h;
  h.greeted();
  h.say("+ anything else?\r\n");
  h.run("LOGIN bob {2}\r\n\xc3\xa9");
  EXPECT_EQ(h.written(), "m1 LOGIN bob {2}\r\n");
  h.say("+ one\r\n+ two\r\nm1 OK done\r\n");
  h.written();
  h.run("LOGIN bob {2}\r\n\xc3\xa9");
  EXPECT_EQ(h.written(), "m2 LOGIN bob {2}\r\n") << "the second + belonged to m1";
}

TEST(BackendLiteralTest, TheConnectionMayEndWhileALiteralWaits) {
  Harness h;
  h.greeted();
  h.run("LOGIN bob {2}\r\n\xc3\xa9");
  h.lose("reset");
  EXPECT_EQ(h.take_log(), "backend lost: reset\nLOGIN failed: reset\n");
}

TEST(BackendLiteralTest, LargeLiteralsAreStreamedToTheObserver) {
  const std::string first(5'000, 'x');
  const std::string second(6'000, 'y');
  const std::string input = "* 1 FETCH (BODY[1] {5000}\r\n" + first + " BINARY[2] ~{6000}\r\n" + second +
                            " UID 7)\r\nm1 OK done\r\n";
  const auto run = [](const Chunks& chunks) {
    Harness h;
    h.greeted();
    h.run("FETCH 1 x");
    for (const auto chunk : chunks) h.say(chunk);
    return h.take_log();
  };
  const auto log = every_split(input, run);
  EXPECT_EQ(log, "untagged <* 1 FETCH (BODY[1] > {5000}\ndata <" + first +
                     ">\ntext < BINARY[2] > ~{6000}\ndata <" + second +
                     ">\ntext < UID 7)>\nFETCH: OK done\n");
}

TEST(BackendLiteralTest, ARelayedCommandHearsWhetherItMaySendItsLiteral) {
  Harness h;
  h.greeted();
  const auto tag = h.connection->next_tag();
  h.connection->send(tag, tag + " APPEND x {3}\r\n", h.recorder);
  h.await_go(tag);
  h.say("+ ready\r\n");
  h.connection->send_more("abc\r\n");
  EXPECT_EQ(h.written(), "m1 APPEND x {3}\r\nabc\r\n");
  h.await_go(tag);
  h.say("m1 OK done\r\n");
  const auto log = h.take_log();
  EXPECT_EQ(log, "m1 continue <ready>\ntagged <m1 OK done>\nm1 answered\n");
  h.await_go(tag);
  EXPECT_EQ(h.take_log(), "m1 answered\n") << "also when it is asked too late";
}

TEST(BackendLiteralTest, WhoWaitsForAGoAheadHearsOfTheEnd) {
  Harness h;
  h.greeted();
  const auto tag = h.connection->next_tag();
  h.connection->send(tag, tag + " IDLE\r\n", h.recorder);
  h.await_go(tag);
  h.say("* BYE bye\r\n");
  EXPECT_EQ(h.take_log(),
            "command lost: the server said BYE: bye\nbackend lost: the server said BYE: bye\n"
            "m1 failed: the server said BYE: bye\n");
}

TEST(BackendCommandTest, AForgottenCommandsAnswerIsDroppedAndTheConnectionGoesOn) {
  Harness h;
  h.greeted();
  const auto tag = h.connection->next_tag();
  h.connection->send(tag, tag + " FETCH\r\n", h.recorder);
  h.connection->forget(h.recorder);
  EXPECT_EQ(h.connection->in_flight(), 1U) << "it is not over on the server";
  h.run("NOOP");
  h.say("m1 OK late\r\nm2 OK done\r\n");
  EXPECT_EQ(h.take_log(), "NOOP: OK done\n");
  EXPECT_EQ(h.connection->in_flight(), 0U);
}

TEST(BackendCommandTest, ACancelledCommandIsForgotten) {
  Harness h;
  h.greeted();
  h.run("FETCH");
  h.scope.cancel();
  h.scheduler.run_ready();
  EXPECT_TRUE(h.scope.empty());
  h.say("m1 OK late\r\n");
  EXPECT_EQ(h.take_log(), "");
}

TEST(BackendLossTest, EveryWaitFailsOnceAndTheObserverIsToldOnce) {
  Harness h;
  h.greeted();
  h.run("ONE");
  h.run("TWO {2}\r\n\xc3\xa9");
  h.connection->send(h.connection->next_tag(), "m3 X\r\n", h.recorder);
  h.lose("reset");
  EXPECT_TRUE(h.connection->lost());
  EXPECT_EQ(h.connection->lost_reason(), "reset");
  const auto log = h.take_log();
  for (const std::string_view line :
       {"ONE failed: reset\n", "TWO failed: reset\n", "command lost: reset\n", "backend lost: reset\n"}) {
    const auto at = log.find(line);
    ASSERT_NE(at, std::string::npos) << line << log;
    EXPECT_EQ(log.find(line, at + 1), std::string::npos) << line;
  }
  h.run("LATE");
  EXPECT_EQ(h.take_log(), "LATE failed: reset\n");
  h.connection->send(h.connection->next_tag(), "x", h.recorder);
  EXPECT_EQ(h.take_log(), "command lost: reset\n");
  h.connection->send_more("x");
  h.connection->pause();
  h.connection->resume();
  h.connection->abort();
  EXPECT_EQ(h.take_log(), "");
  EXPECT_EQ(h.connection->in_flight(), 0U);
}

TEST(BackendLossTest, ByeEndsTheConnectionAlsoBetweenCommands) {
  Harness h;
  h.greeted();
  h.say("* BYE idle for too long\r\n");
  EXPECT_EQ(h.take_log(), "backend lost: the server said BYE: idle for too long\n");
}

TEST(BackendLossTest, AServerThatCannotBeUnderstoodIsLeft) {
  Harness h;
  h.greeted();
  h.run("NOOP");
  h.say("* 99999999999999999999 EXISTS {x\r\n\0\0\r\nm1 OK\r\n");
  h.say("* 5 FETCH (BODY[] {99999999999999999999}\r\n");
  EXPECT_TRUE(h.connection->lost());
  EXPECT_NE(h.take_log().find("can't be understood"), std::string::npos);
}

TEST(BackendLossTest, TheEndInTheMiddleOfALiteralIsTold) {
  Harness h;
  h.greeted();
  h.run("FETCH 1 x");
  h.say("* 1 FETCH (BODY[] {5000}\r\nabc");
  h.eof();
  EXPECT_EQ(h.take_log(),
            "untagged <* 1 FETCH (BODY[] > {5000}\nbackend lost: closed by the server\n"
            "FETCH failed: closed by the server\n");
}

TEST(BackendTimeoutTest, ACommandThatIsNotAnsweredInTimeSeversTheConnection) {
  Harness h;
  h.greeted();
  h.advance(5 * Harness::kTimeout);
  EXPECT_FALSE(h.connection->lost()) << "nothing was asked";
  h.run("NOOP");
  h.advance(Harness::kTimeout - 1);
  EXPECT_FALSE(h.connection->lost());
  h.advance(1);
  EXPECT_TRUE(h.connection->lost());
  EXPECT_TRUE(h.peer.aborted());
  EXPECT_EQ(h.take_log(), "backend lost: no answer within 10 s\nNOOP failed: no answer within 10 s\n");
}

TEST(BackendTimeoutTest, AnyOctetOfTheServerIsASignOfLife) {
  Harness h;
  h.greeted();
  h.run("FETCH 1 x");
  for (int i = 0; i < 5; ++i) {
    h.advance(Harness::kTimeout - 1);
    h.say("*");
    h.say(" 1 EXISTS\r\n");
  }
  EXPECT_FALSE(h.connection->lost());
  h.advance(Harness::kTimeout);
  EXPECT_TRUE(h.connection->lost());
}

TEST(BackendTimeoutTest, AnUploadIsNoSilenceOfTheServer) {
  Harness h;
  h.greeted();
  h.connection->send(h.connection->next_tag(), "m1 APPEND x {99+}\r\n", h.recorder);
  for (int i = 0; i < 5; ++i) {
    h.advance(Harness::kTimeout - 1);
    h.connection->send_more("abc");
  }
  EXPECT_FALSE(h.connection->lost());
  h.advance(Harness::kTimeout);
  EXPECT_TRUE(h.connection->lost());
}

TEST(BackendTimeoutTest, TheNextCommandHasItsOwnTime) {
  Harness h;
  h.greeted();
  h.run("ONE");
  h.advance(Harness::kTimeout - 1);
  h.say("m1 OK\r\n");
  h.run("TWO");
  h.advance(Harness::kTimeout - 1);
  EXPECT_FALSE(h.connection->lost());
  h.advance(1);
  EXPECT_TRUE(h.connection->lost());
}

TEST(BackendTimeoutTest, WhilePausedNothingTimesOut) {
  Harness h;
  h.greeted();
  h.run("FETCH 1 x");
  h.connection->pause();
  EXPECT_FALSE(h.peer.reading());
  h.advance(10 * Harness::kTimeout);
  EXPECT_FALSE(h.connection->lost());
  h.connection->resume();
  EXPECT_TRUE(h.peer.reading());
  h.advance(Harness::kTimeout - 1);
  EXPECT_FALSE(h.connection->lost()) << "the silence begins with resume()";
  h.advance(1 + Harness::kTimeout);
  EXPECT_TRUE(h.connection->lost());
}

TEST(BackendTimeoutTest, SilenceThatIsExpectedIsNoTimeout) {
  Harness h;
  h.greeted();
  h.connection->send(h.connection->next_tag(), "m1 IDLE\r\n", h.recorder);
  h.connection->expect_silence();
  h.advance(100 * Harness::kTimeout);
  EXPECT_FALSE(h.connection->lost());
  h.connection->expect_answers();
  h.connection->send_more("DONE\r\n");
  h.advance(Harness::kTimeout - 1);
  EXPECT_FALSE(h.connection->lost());
  h.advance(1);
  EXPECT_TRUE(h.connection->lost());
}

TEST(BackendPressureTest, WhatComesWhilePausedIsReadAfterwards) {
  Harness h;
  h.greeted();
  h.connection->pause();
  h.connection->pause();
  h.say("* 1 EXISTS\r\n");
  EXPECT_EQ(h.take_log(), "");
  h.connection->resume();
  h.peer.deliver();
  EXPECT_EQ(h.take_log(), "untagged <* 1 EXISTS>\n");
}

TEST(BackendPressureTest, TheObserverHearsThatWhatWasWrittenHasGone) {
  Harness h;
  h.greeted();
  h.peer.jam(300'000);
  EXPECT_EQ(h.connection->unsent(), 300'000U);
  h.peer.drain_to(0);
  EXPECT_EQ(h.take_log(), "drained\n");
}

}  // namespace
}  // namespace imapmux::backend
