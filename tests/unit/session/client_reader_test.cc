// What a client says, as a queue: what is held, bounded, discarded, and where its end stands.
#include <algorithm>

#include "unit/session/reader_harness.h"
#include "unit/wire/every_split.h"

namespace imapmux::session {
namespace {

using wire::Chunks;
using wire::every_split;

// What is told of an input that needs no answers.
std::string told(std::string_view input) {
  return every_split(input, [](const Chunks& chunks) {
    ReaderHarness h;
    for (const auto chunk : chunks) h.say(chunk);
    return h.take_all() + h.take_log();
  });
}

TEST(ClientReaderTest, CommandsComeInTheirOrderHoweverTheOctetsCome) {
  EXPECT_EQ(told("a1 NOOP\r\na2 FETCH 1 (FLAGS)\r\na3 LIST \"\" {1+}\r\n*\r\n"),
            "a1 <NOOP>\na2 <FETCH 1 (FLAGS)>\na3 <LIST \"\" {1+}\r\n*>\n");
}

TEST(ClientReaderTest, MalformedCommandsAreToldAndTheNextOnesRead) {
  EXPECT_EQ(told("\r\na1 NOOP\r\na2\r\na3 X\x01\r\na4 NOOP\r\n"),
            " bad: Empty command line\na1 <NOOP>\na2 bad: Missing command name\na3 bad: Control character in "
            "command\n"
            "a4 <NOOP>\n");
}

TEST(ClientReaderTest, ASynchronisingLiteralIsAskedForOnce) {
  EXPECT_EQ(told("a1 SELECT {3}\r\nbox\r\na2 NOOP\r\n"), "a1 <SELECT {3}\r\nbox>\na2 <NOOP>\nwanted\n");
}

TEST(ClientReaderTest, BehindTooLongACommandNothingIsRead) {
  ReaderHarness h({.max_command = 100, .max_literal = 50});
  h.say("a1 NOOP\r\na2 " + std::string(200, 'x') + "\r\na3 NOOP\r\n");
  EXPECT_EQ(h.take_all(), "a1 <NOOP>\na2 too long: Command too long\n");
  h.say("a4 NOOP\r\n");
  h.reader.expect_commands();
  h.peer.eof();
  EXPECT_EQ(h.take_all().find("a4"), std::string::npos);
}

TEST(ClientReaderTest, BehindCommandsThatChangeTheMeaningEverythingIsHeld) {
  for (const std::string command :
       {"LOGIN bob x", "STARTTLS", "IDLE", "AUTHENTICATE PLAIN", "login {3+}\r\nbob x"}) {
    const auto input = "a1 NOOP\r\na2 " + command + "\r\na3 NOOP\r\na4 NO";
    const auto log = every_split(input, [](const Chunks& chunks) {
      ReaderHarness h;
      for (const auto chunk : chunks) h.say(chunk);
      const auto first = h.take_all();
      EXPECT_TRUE(h.reader.holding());
      h.reader.expect_commands();
      EXPECT_FALSE(h.reader.holding());
      h.say("OP\r\n");
      return first + "--\n" + h.take_all();
    });
    EXPECT_EQ(log, "a1 <NOOP>\na2 <" + command + ">\n--\na3 <NOOP>\na4 <NOOP>\n");
  }
}

TEST(ClientReaderTest, ALineIsReadAndThenItIsHeldAgain) {
  const auto log = every_split("a1 IDLE\r\ndone\r\na2 NOOP\r\n", [](const Chunks& chunks) {
    ReaderHarness h;
    for (const auto chunk : chunks) h.say(chunk);
    auto all = h.take_all();
    h.reader.expect_line();
    all += h.take_all();
    EXPECT_TRUE(h.reader.holding());
    h.reader.expect_commands();
    return all + h.take_all();
  });
  EXPECT_EQ(log, "a1 <IDLE>\nline <done>\na2 <NOOP>\n");
}

TEST(ClientReaderTest, SeveralLinesMayBeExpectedOneByOne) {
  ReaderHarness h;
  h.say("a1 AUTHENTICATE LOGIN\r\nYm9i\r\n\r\na2 NOOP\r\n");
  std::string all = h.take_all();
  h.reader.expect_line();
  all += h.take_all();
  h.reader.expect_line();
  all += h.take_all();
  h.reader.expect_commands();
  all += h.take_all();
  EXPECT_EQ(all, "a1 <AUTHENTICATE LOGIN>\nline <Ym9i>\nline <>\na2 <NOOP>\n");
}

TEST(ClientReaderTest, ALineThatWasExpectedBeforeItCameIsReadWhenItComes) {
  ReaderHarness h;
  h.say("a1 IDLE\r\n");
  h.reader.expect_line();
  h.say("DO");
  h.say("NE\r\na2 NOOP\r\n");
  EXPECT_EQ(h.take_all(), "a1 <IDLE>\nline <DONE>\n");
}

TEST(ClientReaderTest, ALineThatNeverEndsIsTooLong) {
  ReaderHarness h({.max_command = 100, .max_literal = 50});
  h.say("a1 IDLE\r\n");
  h.take_all();
  h.reader.expect_line();
  for (int i = 0; i < 30; ++i) h.say("xxxxxxxxxx");
  EXPECT_EQ(h.take_all(), " too long: Line too long\n");
}

TEST(ClientReaderTest, WhatCameInTheClearBehindStarttlsIsDropped) {
  ReaderHarness h;
  h.say("a1 STARTTLS\r\na2 LOGIN evil x\r\na3 half");
  EXPECT_EQ(h.take_all(), "a1 <STARTTLS>\n");
  h.reader.discard();
  testing_support::MemoryPeer inside;
  const auto stream = inside.stream();
  h.reader.set_stream(stream.get());
  h.reader.expect_commands();
  inside.feed("a4 NOOP\r\n");
  EXPECT_EQ(h.take_all(), "a4 <NOOP>\n");
}

TEST(ClientReaderTest, AHandOverTakesWhatIsHeldAndPutsItBack) {
  ReaderHarness h;
  h.say("a1 LOGIN bob x\r\na2 NOOP\r\na3 NO");
  h.take_all();
  const auto held = h.reader.take_held();
  EXPECT_EQ(held, "a2 NOOP\r\na3 NO");
  ReaderHarness other;
  other.reader.hold();
  other.reader.go_on_from(h.reader.received(), held);
  other.say("OP\r\n");
  EXPECT_EQ(other.reader.received(), 34U);
  EXPECT_EQ(other.take_all(), "");
  other.reader.expect_commands();
  EXPECT_EQ(other.take_all(), "a2 <NOOP>\na3 <NOOP>\n");
}

TEST(ClientReaderBoundsTest, MoreThan256CommandsWaitAndNoneIsLost) {
  std::string input;
  std::string expected;
  for (int i = 0; i < 20'000; ++i) {
    input += "a" + std::to_string(i) + " NOOP\r\n";
    expected += "a" + std::to_string(i) + " <NOOP>\n";
  }
  ReaderHarness h;
  std::string all;
  size_t at = 0;
  while (at < input.size()) {
    while (h.peer.reading() && at < input.size()) {
      h.say(std::string_view(input).substr(at, 10'000));
      at += std::min<size_t>(10'000, input.size() - at);
    }
    // A busy session: the client is not read for ever.
    const auto before = all.size();
    for (int i = 0; i < 300; ++i) all += h.take();
    ASSERT_GT(all.size(), before);
    h.peer.deliver();
  }
  all += h.take_all();
  EXPECT_EQ(all, expected);
  EXPECT_TRUE(h.peer.reading());
}

TEST(ClientReaderBoundsTest, ASessionThatIsBusyIsNotFlooded) {
  ReaderHarness h;
  size_t fed = 0;
  for (; fed < 4'000'000 && h.peer.reading(); fed += 1'000) {
    std::string lines;
    while (lines.size() < 1'000) lines += "a NOOP\r\n";
    h.say(lines);
  }
  EXPECT_LT(fed, 200'000U) << "256 commands, and what is held";
  h.take_all();
  h.peer.deliver();
  EXPECT_TRUE(h.peer.reading());
}

TEST(ClientReaderBoundsTest, LargeCommandsAreBoundedByTheirOctets) {
  ReaderHarness h;
  size_t fed = 0;
  const std::string command = "a SEARCH TEXT \"" + std::string(20'000, 'x') + "\"\r\n";
  for (; fed < 10'000'000 && h.peer.reading(); fed += command.size()) h.say(command);
  EXPECT_LT(fed, 500'000U);
  size_t taken = 0;
  while (!h.reader.empty()) {
    taken += h.take().size();
    h.peer.deliver();
  }
  EXPECT_GT(taken, fed - 20'000);
  EXPECT_TRUE(h.peer.reading());
}

TEST(ClientReaderBoundsTest, HeldOctetsAreBoundedAndReadingGoesOnWhenTheyAreTaken) {
  ReaderHarness h;
  h.say("a1 IDLE\r\n");
  h.take_all();
  size_t fed = 0;
  for (; fed < 1'000'000 && h.peer.reading(); fed += 8) h.say("a NOOP\r\n");
  EXPECT_LT(fed, 100'000U);
  h.reader.expect_commands();
  size_t commands = 0;
  while (!h.reader.empty()) {
    h.take();
    ++commands;
  }
  EXPECT_EQ(commands, fed / 8);
  EXPECT_TRUE(h.peer.reading());
}

TEST(ClientReaderEndTest, TheEndStandsBehindWhatWasComplete) {
  ReaderHarness h;
  h.say("a1 NOOP\r\na2 NOOP\r\na3 NO");
  h.peer.eof();
  EXPECT_TRUE(h.reader.eof());
  EXPECT_EQ(h.take_log(), "eof\n");
  EXPECT_EQ(h.take_all(), "a1 <NOOP>\na2 <NOOP>\nend\n");
  EXPECT_EQ(h.take_all(), "") << "once";
}

TEST(ClientReaderEndTest, TheEndStandsBehindWhatIsHeld) {
  ReaderHarness h;
  h.say("a1 LOGIN bob x\r\na2 LOGOUT\r\n");
  h.peer.eof();
  EXPECT_EQ(h.take_log(), "eof\n") << "told at once, so that waits are given up";
  EXPECT_EQ(h.take_all(), "a1 <LOGIN bob x>\n");
  h.reader.expect_commands();
  EXPECT_EQ(h.take_all(), "a2 <LOGOUT>\nend\n");
}

TEST(ClientReaderEndTest, WithNothingHeldTheEndComesAtOnce) {
  ReaderHarness h;
  h.say("a1 IDLE\r\n");
  h.peer.eof();
  EXPECT_EQ(h.take_all(), "a1 <IDLE>\nend\n");
  h.reader.expect_commands();
  EXPECT_EQ(h.take_all(), "");
}

TEST(ClientReaderEndTest, TheEndStandsBehindEveryCommandThatWaitedForRoom) {
  ReaderHarness h;
  std::string input;
  for (int i = 0; i < 1'000; ++i) input += "a" + std::to_string(i) + " NOOP\r\n";
  h.say(input);
  h.peer.eof();
  const auto all = h.take_all();
  EXPECT_TRUE(all.ends_with("a999 <NOOP>\nend\n"));
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 1'001);
}

TEST(ClientReaderEndTest, TheEndBehindLinesOfAnAuthentication) {
  ReaderHarness h;
  h.say("a1 AUTHENTICATE PLAIN\r\nAGI=\r\na2 LOGOUT\r\n");
  h.peer.eof();
  std::string all = h.take_all();
  h.reader.expect_line();
  all += h.take_all();
  h.reader.expect_commands();
  all += h.take_all();
  EXPECT_EQ(all, "a1 <AUTHENTICATE PLAIN>\nline <AGI=>\na2 <LOGOUT>\nend\n");
}

TEST(ClientReaderEndTest, TheEndBehindStarttlsThatDropsWhatWasHeldComesAfterTheDrop) {
  ReaderHarness h;
  h.say("a1 STARTTLS\r\na2 NOOP\r\n");
  h.peer.eof();
  EXPECT_EQ(h.take_all(), "a1 <STARTTLS>\n");
  h.reader.discard();
  h.reader.expect_commands();
  EXPECT_EQ(h.take_all(), "end\n");
}

TEST(ClientReaderEndTest, AResetIsToldAtOnce) {
  ReaderHarness h;
  h.say("a1 LOGIN bob x\r\na2 NOOP\r\n");
  h.peer.lose("connection reset");
  EXPECT_EQ(h.take_log(), "lost: connection reset\n");
}

TEST(ClientReaderTest, TheListenerHearsOfOctetsAndOfRoom) {
  ReaderHarness h;
  h.say("a1");
  h.say(" NOOP\r\n");
  EXPECT_EQ(h.chunks, 2);
  h.peer.drain_to(0);
  EXPECT_EQ(h.take_log(), "drained\n");
}

}  // namespace
}  // namespace imapmux::session
