// The simulation's own parts: links, sets of dice, the reading of FETCH responses.
#include <gtest/gtest.h>

#include "simulation/fetch_data.h"
#include "simulation/network.h"
#include "simulation/script.h"

namespace imapmux::simulation {
namespace {

struct FarEnd : LinkPeer {
  void on_octets(std::string_view octets) override { heard += octets; }
  void on_end() override { ended = true; }
  void on_reset() override { reset = true; }
  std::string heard;
  bool ended = false;
  bool reset = false;
};

struct NearEnd : net::StreamHandler {
  void on_data(std::string_view chunk) noexcept override {
    ++chunks;
    heard += chunk;
  }
  void on_eof() noexcept override { ended = true; }
  void on_lost(const std::string&) noexcept override { lost = true; }
  void on_drained() noexcept override { ++drained; }
  std::string heard;
  int chunks = 0;
  int drained = 0;
  bool ended = false;
  bool lost = false;
};

class Links : public testing::Test {
 protected:
  std::unique_ptr<net::Stream> open(LinkHabits habits) {
    link = network.connect(habits, {});
    link->set_peer(&far);
    auto stream = Link::open_stream(link);
    stream->set_handler(&near);
    stream->start_reading();
    return stream;
  }
  void play() { world.scheduler.advance(base::Millis(1000)); }

  World world{1, false};
  Network network{world};
  FarEnd far;
  NearEnd near;
  std::shared_ptr<Link> link;
};

TEST_F(Links, OctetsComeOneByOneAndAllOfThem) {
  auto stream = open({.to_proxy = LinkHabits::Cut::kOctets, .from_proxy = LinkHabits::Cut::kPieces});
  link->send("hello there");
  stream->write("and back again");
  play();
  EXPECT_EQ(near.heard, "hello there");
  EXPECT_EQ(near.chunks, 11);
  EXPECT_EQ(far.heard, "and back again");
  link->finish();
  stream.reset();
  play();
  EXPECT_TRUE(far.ended);
}

TEST_F(Links, ASlowReaderFillsTheWindow) {
  auto stream = open({.window = 10, .weight = 100'000});
  link->hold(true);
  stream->write("0123456789");
  EXPECT_EQ(stream->unsent(), 0U);
  stream->write("abcd");
  EXPECT_GT(stream->unsent(), net::Stream::kHighWatermark);
  play();
  EXPECT_EQ(far.heard, "");
  EXPECT_EQ(near.drained, 0);
  link->hold(false);
  play();
  EXPECT_EQ(far.heard, "0123456789abcd");
  EXPECT_EQ(near.drained, 1);
}

TEST_F(Links, AReaderThatStoppedDoesNotNoticeAReset) {
  auto stream = open({});
  stream->stop_reading();
  link->send("never read");
  link->reset();
  play();
  EXPECT_FALSE(near.lost);
  stream->start_reading();
  play();
  EXPECT_TRUE(near.lost);
  EXPECT_EQ(near.heard, "");
}

TEST_F(Links, WhatWasWrittenComesBeforeTheEnd) {
  auto stream = open({});
  stream->write("last words");
  stream.reset();
  play();
  EXPECT_EQ(far.heard, "last words");
  EXPECT_TRUE(far.ended);
  link->set_peer(nullptr);
  link.reset();
  network.sweep();
  EXPECT_EQ(network.links(), 0U);
}

TEST_F(Links, AbortedIsReset) {
  auto stream = open({});
  stream->write("lost");
  stream->abort();
  stream.reset();
  play();
  EXPECT_EQ(far.heard, "");
  EXPECT_TRUE(far.reset);
}

TEST(FetchData, IsReadInFull) {
  const auto data = parse_fetch(
      "(UID 7 FLAGS (\\Seen \\Recent Work) BODY[HEADER.FIELDS (SUBJECT)] {5}\r\na)b\r\n RFC822.SIZE 3)");
  ASSERT_TRUE(data);
  EXPECT_EQ(data->uid, 7U);
  EXPECT_EQ(*data->flags, (demo::Flags{"\\Seen", "Work"}));
  EXPECT_EQ(data->items.at("BODY[HEADER.FIELDS (SUBJECT)]"), "a)b\r\n");
  EXPECT_EQ(data->items.at("RFC822.SIZE"), "3");
  for (const auto* bad : {"(UID 0)", "(UID x)", "(UID 1 UID 1)", "UID 1", "(UID 1", "(UID 1) ",
                          "(FLAGS \\Seen)", "(FLAGS (\\Seen)"})
    EXPECT_FALSE(parse_fetch(bad)) << bad;
}

TEST(Script, CutsWhereTheClientHasToWait) {
  Random random(3);
  Habits habits;
  habits.mailboxes = {"INBOX"};
  habits.new_token = [] { return std::string("tok-1."); };
  habits.padding = [](uint32_t) { return 0U; };
  Script script(random, habits);
  bool waited = false;
  for (int i = 0; i < 200; ++i) {
    const auto login = script.login("alice", "secret");
    std::string whole;
    for (const auto& part : login->parts) {
      whole += part;
      if (&part != &login->parts.back()) EXPECT_TRUE(part.ends_with("}\r\n")) << part;
    }
    EXPECT_TRUE(whole.ends_with("\r\n"));
    waited = waited || login->parts.size() > 1;
    EXPECT_TRUE(Script::is_barrier(*login));
  }
  EXPECT_TRUE(waited);
}

}  // namespace
}  // namespace imapmux::simulation
