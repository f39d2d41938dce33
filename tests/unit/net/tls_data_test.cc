// TlsStream: chunk borders, who reads when, back-pressure.

#include "support/tls_fixture.h"

namespace imapmux::net {
namespace {

using namespace test;

TEST_F(TlsTest, OctetsInTheSameChunkAsTheEndOfTheHandshakeAreNotLost) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  manual.step();
  peer.send(manual.output());
  ASSERT_TRUE(until([&] { return manual.step(); }));
  peer.send(manual.output() + manual.encrypt("a1 LOGIN u p\r\n"));  // with the client's Finished
  ASSERT_TRUE(until([&] { return server_result.ended; }));
  EXPECT_TRUE(server_result.good()) << server_result.problem;
  driver.run_for(Millis(5));
  served->set_handler(&at_server);
  EXPECT_EQ(at_server.data, "");
  driver.turn([&] { served->start_reading(); });
  EXPECT_EQ(at_server.data, "a1 LOGIN u p\r\n");
  write(*served, "a1 OK\r\n");
  std::string answer;
  ASSERT_TRUE(until([&] {
    answer += manual.decrypt();
    return answer == "a1 OK\r\n";
  }));
}

TEST_F(TlsTest, EveryOctetMayComeByItself) {
  serve_raw();
  served->set_handler(&at_server);
  ManualClient manual(*client_tls, "mail.example.org", peer);
  const auto trickle = [&](const std::string& octets) {
    for (const char octet : octets) {
      peer.send({&octet, 1});
      driver.turn([] {});
      uv_run(loop().uv(), UV_RUN_NOWAIT);
    }
  };
  manual.step();
  trickle(manual.output());
  ASSERT_TRUE(until([&] { return manual.step(); }));
  trickle(manual.output());
  ASSERT_TRUE(until([&] { return server_result.ended; }));
  driver.turn([&] { served->start_reading(); });
  trickle(manual.encrypt("one") + manual.encrypt("two"));
  ASSERT_TRUE(until([&] { return at_server.data == "onetwo"; }));
}

TEST_F(TlsTest, StoppingInTheMiddleOfAChunkHoldsTheRest) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  driver.turn([&] { served->start_reading(); });
  at_server.then = [&](std::string_view) { served->stop_reading(); };
  std::string wire;
  for (const auto* text : {"one ", "two ", "three ", "four "}) wire += manual.encrypt(text);
  peer.send(wire);
  ASSERT_TRUE(until([&] { return at_server.data == "one "; }));
  driver.run_for(Millis(5));
  EXPECT_EQ(at_server.data, "one ");
  driver.turn([&] { served->start_reading(); });
  EXPECT_EQ(at_server.data, "one two ");
  at_server.then = nullptr;
  peer.send(manual.encrypt("five "));
  driver.run_for(Millis(5));
  EXPECT_EQ(at_server.data, "one two ");
  served->start_reading();  // outside any turn: what was held must still come first
  peer.send(manual.encrypt("six"));
  ASSERT_TRUE(until([&] { return at_server.data == "one two three four five six"; })) << at_server.data;
  EXPECT_EQ(at_server.losses, 0);
}

TEST_F(TlsTest, StoppingAndStartingInsideACallback) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  at_server.then = [&](std::string_view) {
    served->stop_reading();
    served->start_reading();
  };
  driver.turn([&] { served->start_reading(); });
  peer.send(manual.encrypt("one ") + manual.encrypt("two ") + manual.encrypt("three"));
  ASSERT_TRUE(until([&] { return at_server.data == "one two three"; }));
}

TEST_F(TlsTest, WhatComesWithoutAHandlerWaitsForTheNextOneInOrder) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  driver.turn([&] { served->start_reading(); });
  peer.send(manual.encrypt("one "));
  driver.run_for(Millis(5));
  driver.turn([&] { served->set_handler(&at_server); });
  EXPECT_TRUE(until([&] { return at_server.data == "one "; })) << at_server.data;
  driver.turn([&] { served->set_handler(nullptr); });
  peer.send(manual.encrypt("two "));
  driver.run_for(Millis(5));
  served->set_handler(&at_server);
  peer.send(manual.encrypt("three"));
  EXPECT_TRUE(until([&] { return at_server.data == "one two three"; })) << at_server.data;
  EXPECT_EQ(at_server.losses, 0) << at_server.reason;
}

TEST_F(TlsTest, AFullRecordSplitAcrossChunksAndABigTransferArrive) {
  connect();
  listen_on_both();
  const auto big = pattern(5'000'000);
  write(*client, big);
  write(*served, big);
  EXPECT_GT(client->unsent(), 0u);
  ASSERT_TRUE(
      until([&] { return at_server.data.size() == big.size() && at_client.data.size() == big.size(); }));
  EXPECT_TRUE(at_server.data == big);
  EXPECT_TRUE(at_client.data == big);
  EXPECT_EQ(at_client.drained, 1);
  EXPECT_EQ(at_server.drained, 1);
  EXPECT_EQ(client->unsent(), 0u);
}

TEST_F(TlsTest, ASourceDrivenByOnDrainedNeverStallsAndAReaderMayPause) {
  connect();
  listen_on_both();
  const auto piece = pattern(Stream::kHighWatermark);
  int left = 20;
  at_client.at_drained = [&] {
    if (left-- > 0) client->write(piece);
  };
  async::Timer again(loop(), [&] { served->start_reading(); });
  at_server.then = [&](std::string_view) {
    if (again.active()) return;
    served->stop_reading();
    again.start(Millis(0));
  };
  write(*client, piece);
  ASSERT_TRUE(until([&] { return at_server.data.size() == 21 * piece.size(); })) << at_server.data.size();
  std::string expected;
  for (int i = 0; i < 21; ++i) expected += piece;
  EXPECT_TRUE(at_server.data == expected);
}

}  // namespace
}  // namespace imapmux::net
