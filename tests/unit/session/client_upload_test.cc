// Commands with streamed literals: APPEND, and MULTIAPPEND (RFC 3502).
#include "unit/session/reader_harness.h"
#include "unit/wire/every_split.h"

namespace imapmux::session {
namespace {

using wire::Chunks;
using wire::every_split;

std::string told(std::string_view input) {
  return every_split(input, [](const Chunks& chunks) {
    ReaderHarness h;
    for (const auto chunk : chunks) h.say(chunk);
    return h.take_all() + h.take_log();
  });
}

TEST(ClientUploadTest, AnAppendIsBegunBeforeItsMessageHasCome) {
  ReaderHarness h;
  h.say("a1 NOOP\r\na2 APPEND box (\\Seen) {5}\r\n");
  EXPECT_EQ(h.take_all(), "a1 <NOOP>\na2 upload <APPEND box (\\Seen) > {5}\n");
  EXPECT_EQ(h.take_log(), "") << "the session asks for it, or refuses";
  EXPECT_FALSE(h.reader.upload_ready());
  h.say("he");
  EXPECT_EQ(h.take_parts(), "");
  EXPECT_EQ(h.pending_data(), "he");
  h.say("llo\r\na3 NOOP\r\n");
  EXPECT_EQ(h.take_parts(), "data <llo>\nliteral end\ntail <>\n");
  EXPECT_EQ(h.take_all(), "a3 <NOOP>\n");
}

TEST(ClientUploadTest, AWholeAppendComesInItsPartsHoweverItIsCut) {
  EXPECT_EQ(told("a1 APPEND box {5+}\r\nhe\r\no\r\na2 APPEND {3+}\r\nbox ~{2+}\r\n\n\r\r\na3 NOOP\r\n"),
            "a1 upload <APPEND box > {5+}\ndata <he\r\no>\nliteral end\ntail <>\n"
            "a2 upload <APPEND {3+}\r\nbox > ~{2+}\ndata <\n\r>\nliteral end\ntail <>\na3 <NOOP>\n");
}

TEST(ClientUploadTest, EmptyMessagesAndTailsAreTold) {
  EXPECT_EQ(told("a1 APPEND box {0+}\r\n)\r\na2 NOOP\r\n"),
            "a1 upload <APPEND box > {0+}\nliteral end\ntail <)>\na2 <NOOP>\n");
}

TEST(ClientUploadTest, MultiappendBringsSeveralMessages) {
  EXPECT_EQ(told("a1 APPEND box {2+}\r\nab (\\Seen) {0+}\r\n ~{1}\r\nc\r\na2 NOOP\r\n"),
            "a1 upload <APPEND box > {2+}\ndata <ab>\nliteral end\nliteral < (\\Seen) > {0+}\nliteral end\n"
            "literal < > ~{1}\ndata <c>\nliteral end\ntail <>\na2 <NOOP>\n");
}

TEST(ClientUploadTest, AnUploadThatTurnsOutMalformedIsToldInItsPlace) {
  EXPECT_EQ(told("a1 APPEND box {2+}\r\nab x\x01\r\na2 NOOP\r\n"),
            "a1 upload <APPEND box > {2+}\ndata <ab>\nliteral end\nupload bad: Control character in command\n"
            "a2 <NOOP>\n");
}

TEST(ClientUploadTest, RefusedBeforeAnythingCameTheNextOctetsAreACommand) {
  ReaderHarness h;
  h.say("a1 APPEND box {5}\r\n");
  EXPECT_EQ(h.take_all(), "a1 upload <APPEND box > {5}\n");
  EXPECT_TRUE(h.reader.refuse_upload());
  h.say("a2 NOOP\r\n");
  EXPECT_EQ(h.take_all(), "a2 <NOOP>\n");
  h.peer.eof();
  EXPECT_EQ(h.take_all(), "end\n");
  EXPECT_FALSE(h.reader.upload_ready()) << "no end of an upload that was refused";
}

TEST(ClientUploadTest, WhenTheMessageHasBegunToComeItIsTooLateToRefuse) {
  ReaderHarness h;
  h.say("a1 APPEND box {5}\r\nh");
  EXPECT_EQ(h.take(), "a1 upload <APPEND box > {5}\n");
  EXPECT_FALSE(h.reader.refuse_upload());
  h.say("ello\r\na2 NOOP\r\n");
  h.take_parts();
  EXPECT_EQ(h.take_all(), "a2 <NOOP>\n");
}

TEST(ClientUploadTest, AClientThatDoesNotWaitIsInStepAfterARefusal) {
  const std::string rest = "hello (\\Seen) {3+}\r\nabc\r\na2 NOOP\r\n";
  const auto log = every_split(rest, [](const Chunks& chunks) {
    ReaderHarness h;
    h.say("a1 APPEND box {5+}\r\n");
    h.take();
    const bool refused = h.reader.refuse_upload();
    for (const auto chunk : chunks) h.say(chunk);
    if (!refused) h.take_parts();
    return h.take_all();
  });
  EXPECT_EQ(log, "a2 <NOOP>\n");
}

TEST(ClientUploadTest, ALaterMessageOfAMultiappendMayBeRefusedToo) {
  ReaderHarness h;
  h.say("a1 APPEND box {2+}\r\nab {5}\r\n");
  EXPECT_EQ(h.take(), "a1 upload <APPEND box > {2+}\ndata <ab>\nliteral end\nliteral < > {5}\n");
  EXPECT_TRUE(h.reader.refuse_upload()) << "the client waits for + or NO";
  h.say("a2 NOOP\r\n");
  EXPECT_EQ(h.take_all(), "a2 <NOOP>\n");
}

TEST(ClientUploadTest, UploadsOneBehindTheOtherKeepTheirParts) {
  ReaderHarness h;
  h.say("a1 APPEND one {3+}\r\nabc\r\na2 NOOP\r\na3 APPEND two {3+}\r\ndef\r\n");
  EXPECT_EQ(h.take(), "a1 upload <APPEND one > {3+}\ndata <abc>\nliteral end\ntail <>\n");
  EXPECT_EQ(h.take(), "a2 <NOOP>\n");
  EXPECT_EQ(h.take(), "a3 upload <APPEND two > {3+}\ndata <def>\nliteral end\ntail <>\n");
}

TEST(ClientUploadTest, TheEndInTheMiddleOfAnUploadIsItsLastPart) {
  const auto log = every_split("a1 APPEND box {500+}\r\nhello", [](const Chunks& chunks) {
    ReaderHarness h;
    for (const auto chunk : chunks) h.say(chunk);
    h.peer.eof();
    return h.take_all();
  });
  EXPECT_EQ(log, "a1 upload <APPEND box > {500+}\ndata <hello>\nupload end\nend\n");
}

TEST(ClientUploadTest, TooLongACommandInAnUploadEndsIt) {
  ReaderHarness h({.max_command = 100, .max_literal = 50});
  h.say("a1 APPEND box {2+}\r\nab" + std::string(300, 'x') + "\r\na2 NOOP\r\n");
  const auto all = h.take_all();
  EXPECT_NE(all.find("upload bad: Command too long\n"), std::string::npos) << all;
  EXPECT_NE(all.find(" too long: \n"), std::string::npos) << all;  // the upload's end is answered, once
  EXPECT_EQ(all.find("a2"), std::string::npos) << all;
}

TEST(ClientUploadTest, ALargeUploadIsReadOnlyAsFastAsItIsTaken) {
  constexpr size_t kSize = 5'000'000;
  ReaderHarness h;
  std::string message;
  for (size_t i = 0; message.size() < kSize; ++i) message += std::to_string(i) + "\r\n";
  h.say("a1 APPEND box {" + std::to_string(message.size()) + "+}\r\n");
  EXPECT_EQ(h.take().find("a1 upload"), 0U);
  std::string got;
  size_t at = 0;
  const std::string input = message + "\r\na2 NOOP\r\n";
  while (at < input.size()) {
    size_t fed = 0;
    while (h.peer.reading() && at < input.size()) {
      const auto piece = std::string_view(input).substr(at, 16'000);
      h.say(piece);
      at += piece.size();
      fed += piece.size();
      ASSERT_LT(fed, 1'000'000U) << "a slow session does not stop the client";
    }
    while (h.reader.upload_ready()) {
      auto part = h.reader.take_upload();
      if (part.kind == UploadPart::Kind::kData) got += part.octets;
    }
    h.peer.deliver();
  }
  while (h.reader.upload_ready()) {
    auto part = h.reader.take_upload();
    if (part.kind == UploadPart::Kind::kData) got += part.octets;
  }
  EXPECT_TRUE(got == message);
  EXPECT_EQ(h.take_all(), "a2 <NOOP>\n");
}

}  // namespace
}  // namespace imapmux::session
