// The trace tells what was said, but no password and no message.
#include "session/protocol_trace.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "unit/wire/every_split.h"

namespace imapmux::session {
namespace {

// A dialogue: lines that begin with C go from the client, S from the server.
class Dialogue {
 public:
  Dialogue& client(std::string octets) {
    turns_.push_back({true, std::move(octets)});
    return *this;
  }
  Dialogue& server(std::string octets) {
    turns_.push_back({false, std::move(octets)});
    return *this;
  }
  // What is logged, each turn fed whole; and octet by octet it must not tell more.
  std::string traced() const {
    const auto whole = run(false);
    const auto octets = run(true);
    EXPECT_EQ(lines(octets), lines(whole));
    return whole;
  }

 private:
  struct Turn {
    bool from_client;
    std::string octets;
  };
  std::string run(bool single) const {
    testing::internal::CaptureStderr();
    ProtocolTrace trace("bob");
    for (const auto& turn : turns_) {
      const std::string_view all = turn.octets;
      const size_t step = single ? 1 : std::max<size_t>(all.size(), 1);
      for (size_t at = 0; at < all.size(); at += step) {
        const wire::Chunk chunk(all.substr(at, step));
        turn.from_client ? trace.client_said(chunk.view()) : trace.client_got(chunk.view());
      }
    }
    return testing::internal::GetCapturedStderr();
  }
  // Without the times.
  static std::vector<std::string> lines(const std::string& log) {
    std::vector<std::string> out;
    for (size_t at = 0; at < log.size();) {
      const auto end = std::min(log.find('\n', at), log.size());
      const auto line = log.substr(at, end - at);
      out.push_back(line.substr(std::min(line.find("trace bob"), line.size())));
      at = end + 1;
    }
    return out;
  }
  std::vector<Turn> turns_;
};

#define EXPECT_TELLS(log, text) EXPECT_NE((log).find(text), std::string::npos) << (log)
#define EXPECT_HIDES(log, text) EXPECT_EQ((log).find(text), std::string::npos) << (log)

TEST(ProtocolTraceTest, CommandsAndResponsesAreToldWithTheirDirection) {
  const auto log = Dialogue().client("a1 SELECT INBOX\r\n").server("* 3 EXISTS\r\na1 OK done\r\n").traced();
  EXPECT_TELLS(log, "trace bob C: a1 SELECT INBOX\n");
  EXPECT_TELLS(log, "trace bob S: * 3 EXISTS\n");
  EXPECT_TELLS(log, "trace bob S: a1 OK done\n");
}

TEST(ProtocolTraceTest, ThePasswordOfLoginIsHiddenInEveryForm) {
  for (const std::string login :
       {"LOGIN bob geheim", "login bob \"geheim\"", "LOGIN {3}\r\nbob {6}\r\ngeheim",
        "LOGIN {3+}\r\nbob {6+}\r\ngeheim", "LOGIN bob geheim extra"}) {
    const auto log =
        Dialogue().client("a1 " + login + "\r\n").server("a1 NO wrong\r\n").client("a2 NOOP\r\n").traced();
    EXPECT_HIDES(log, "geheim");
    EXPECT_TELLS(log, "C: a1 LOGIN ***\n");
    EXPECT_TELLS(log, "C: a2 NOOP\n");
  }
}

TEST(ProtocolTraceTest, AuthenticateShowsItsMechanismOnly) {
  const auto log = Dialogue()
                       .client("a1 AUTHENTICATE PLAIN Z2VoZWlt\r\n")
                       .server("a1 OK in\r\n")
                       .client("a2 NOOP\r\n")
                       .traced();
  EXPECT_HIDES(log, "Z2VoZWlt");
  EXPECT_TELLS(log, "C: a1 AUTHENTICATE PLAIN ***\n");
  EXPECT_TELLS(log, "S: a1 OK in\n");
  EXPECT_TELLS(log, "C: a2 NOOP\n");
}

TEST(ProtocolTraceTest, EveryLineOfAnAuthenticationIsHiddenInBothDirectionsUntilItsEnd) {
  const auto log = Dialogue()
                       .client("a1 AUTHENTICATE LOGIN\r\n")
                       .server("+ VXNlcm5hbWU6\r\n")
                       .client("Ym9i\r\n")
                       .server("+ UGFzc3dvcmQ6\r\n* OK hold on\r\nother OK late\r\n")
                       .client("Z2VoZWlt\r\n")
                       .server("a1 NO wrong\r\n")
                       .client("a2 NOOP\r\n")
                       .server("+ not secret\r\n")
                       .traced();
  for (const char* secret : {"Ym9i", "Z2VoZWlt", "VXNlcm5hbWU6", "UGFzc3dvcmQ6"}) EXPECT_HIDES(log, secret);
  EXPECT_TELLS(log, "C: ***\n");
  EXPECT_TELLS(log, "S: + ***\n");
  EXPECT_TELLS(log, "C: a2 NOOP\n");
  EXPECT_TELLS(log, "S: + not secret\n");
}

TEST(ProtocolTraceTest, ASecretSentWithoutWaitingIsHiddenToo) {
  const auto log =
      Dialogue().client("a1 AUTHENTICATE PLAIN\r\nZ2VoZWlt\r\n").server("+ \r\na1 OK in\r\n").traced();
  EXPECT_HIDES(log, "Z2VoZWlt");
}

TEST(ProtocolTraceTest, ASecretBehindARefusedMechanismIsNotToldByItsAnswerEither) {
  const auto log = Dialogue()
                       .client("a AUTHENTICATE SCRAM-SHA-1\r\nc2VjcmV0\r\nanVzdCBhcyBzZWNyZXQ=\r\n")
                       .server("a NO not here\r\nc2VjcmV0 BAD what?\r\nanVzdCBhcyBzZWNyZXQ= BAD what?\r\n")
                       .traced();
  EXPECT_TELLS(log, "C: a AUTHENTICATE SCRAM-SHA-1\n");
  EXPECT_TELLS(log, "S: *** BAD what?\n");
  for (const char* secret : {"c2Vj", "anVz"}) EXPECT_HIDES(log, secret);
}

TEST(ProtocolTraceTest, ASecretInTheMechanismsPlaceIsHidden) {
  const auto log = Dialogue().client("a AUTHENTICATE AGJvYgBzZWNyZXQ=\r\n").traced();
  EXPECT_TELLS(log, "C: a AUTHENTICATE ***\n");
}

TEST(ProtocolTraceTest, MalformedCommandsAreNotQuoted) {
  const auto log = Dialogue().client("a1 LOGIN bob ge\x01heim\r\n* LOGIN bob geheim\r\na2 NOOP\r\n").traced();
  EXPECT_HIDES(log, "heim");
  EXPECT_TELLS(log, "C: (malformed)\n");
  EXPECT_HIDES(log, "a1 ");
  EXPECT_TELLS(log, "C: a2 NOOP\n");
}

TEST(ProtocolTraceTest, MessagesThatAreAppendedAreNotTold) {
  const auto log = Dialogue()
                       .client("a1 APPEND INBOX (\\Seen) {8}\r\n")
                       .server("+ go\r\n")
                       .client("Secret!\n {8+}\r\nSecret!\n\r\na2 NOOP\r\n")
                       .traced();
  EXPECT_HIDES(log, "Secret");
  EXPECT_TELLS(log, "C: a1 APPEND INBOX (\\Seen) {8 octets}\n");
  EXPECT_TELLS(log, "C: a2 NOOP\n");
}

TEST(ProtocolTraceTest, MessagesThatAreFetchedAreNotToldHoweverTheyCome) {
  const std::string large = "Secret!" + std::string(9'000, 'x');
  for (const std::string body :
       {"BODY[] {10}\r\nSecret!\r\n ", "BODY[TEXT] \"Secret!\"", "RFC822 {7}\r\nSecret!",
        "RFC822.TEXT \"Secret!\"", "RFC822.HEADER {7}\r\nSecret!", "BINARY[1] ~{7}\r\nSecret!",
        "body[] \"Secret!\"", "Rfc822 \"Secret!\"", "BODY[HEADER.FIELDS (SUBJECT)] {7}\r\nSecret!",
        "BODY[1]<0> \"Secret!\""}) {
    const auto log = Dialogue().server("* 1 FETCH (UID 7 " + body + ")\r\n* 2 EXISTS\r\n").traced();
    EXPECT_HIDES(log, "Secret");
    EXPECT_TELLS(log, "UID 7");
    EXPECT_TELLS(log, "S: * 2 EXISTS\n");
  }
  const auto log = Dialogue()
                       .server("* 1 FETCH (BODY[1] {" + std::to_string(large.size()) + "}\r\n" + large +
                               " BODY[2] \"Secret!\" FLAGS ())\r\n* 2 EXISTS\r\n")
                       .traced();
  EXPECT_HIDES(log, "Secret");
  EXPECT_HIDES(log, "xxxx");
  EXPECT_TELLS(log, "octets}");
  EXPECT_TELLS(log, "S: * 2 EXISTS\n");
}

TEST(ProtocolTraceTest, WhatIdlingClientsSayIsDoneAndThenCommandsAgain) {
  const auto log =
      Dialogue().client("a1 IDLE\r\n").server("+ idling\r\n").client("DONE\r\na2 NOOP\r\n").traced();
  EXPECT_TELLS(log, "C: DONE\n");
  EXPECT_TELLS(log, "C: a2 NOOP\n");
}

TEST(ProtocolTraceTest, ARefusedIdleIsFollowedByCommands) {
  const auto log =
      Dialogue().client("a1 IDLE\r\n").server("a1 NO not now\r\n").client("a2 LOGIN bob geheim\r\n").traced();
  EXPECT_HIDES(log, "geheim");
  EXPECT_TELLS(log, "C: a2 LOGIN ***\n");
}

TEST(ProtocolTraceTest, ALineThatIsTakenForDoneHidesAPasswordAllTheSame) {
  const auto log = Dialogue().client("a1 IDLE\r\na2 LOGIN bob geheim\r\n").traced();
  EXPECT_HIDES(log, "geheim");
}

TEST(ProtocolTraceTest, ItTellsWhateverTheLevelOfTheLogIs) {
  base::log::configure(base::log::Level::kError, base::log::Format::kText);
  const auto log = Dialogue().client("a1 NOOP\r\n").traced();
  base::log::configure(base::log::Level::kInfo, base::log::Format::kText);
  EXPECT_TELLS(log, "trace bob C: a1 NOOP\n");
}

TEST(ProtocolTraceTest, OnceStoppedItTellsNothing) {
  testing::internal::CaptureStderr();
  ProtocolTrace trace("bob");
  trace.stop();
  trace.client_said("a1 NOOP\r\n");
  trace.client_got("* OK x\r\n");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ProtocolTraceTest, ALongLineIsCutAndControlCharactersAreEscaped) {
  const auto log = Dialogue().server("* OK \x1b[31m" + std::string(5'000, 'x') + "\r\n").traced();
  EXPECT_LT(log.size(), 1'000U);
  EXPECT_HIDES(log, "\x1b");
}

}  // namespace
}  // namespace imapmux::session
