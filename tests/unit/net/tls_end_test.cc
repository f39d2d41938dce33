// TlsStream: endings, failures, and what is left behind.
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "support/tls_fixture.h"

namespace imapmux::net {
namespace {

using namespace test;

TEST_F(TlsTest, CloseNotifyIsAnEofAndTheOtherDirectionGoesOn) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  driver.turn([&] { served->start_reading(); });
  std::string wire = manual.encrypt("a1 LOGOUT\r\n");
  SSL_shutdown(manual.ssl.get());
  peer.send(wire + manual.output());
  ASSERT_TRUE(until([&] { return at_server.eofs == 1; }));
  EXPECT_EQ(at_server.data, "a1 LOGOUT\r\n");
  write(*served, "* BYE\r\n");
  std::string answer;
  ASSERT_TRUE(until([&] {
    answer += manual.decrypt();
    return answer == "* BYE\r\n";
  }));
  EXPECT_EQ(at_server.losses, 0);
  EXPECT_EQ(at_server.eofs, 1);
}

// nc -N behind a TLS wrapper, and many mail clients: FIN without close_notify.
TEST_F(TlsTest, TruncationIsAnEofAfterWhichAnswersStillArrive) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  driver.turn([&] { served->start_reading(); });
  peer.send(manual.encrypt("a1 LOGOUT\r\n"));
  peer.half_close();
  ASSERT_TRUE(until([&] { return at_server.eofs == 1; }));
  write(*served, "* BYE\r\n");
  std::string answer;
  EXPECT_TRUE(until([&] {
    answer += manual.decrypt();
    return answer == "* BYE\r\n" || peer.ended || peer.error;
  }));
  EXPECT_EQ(answer, "* BYE\r\n");
  EXPECT_EQ(at_server.losses, 0) << at_server.reason;
}

TEST_F(TlsTest, AnEofWhileNobodyReadsComesAfterWhatWasHeld) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  peer.send(manual.encrypt("last"));
  peer.half_close();
  driver.run_for(Millis(5));
  served->set_handler(&at_server);
  driver.turn([&] { served->start_reading(); });
  ASSERT_TRUE(until([&] { return at_server.eofs == 1; }));
  EXPECT_EQ(at_server.data, "last");
}

TEST_F(TlsTest, AResetIsALoss) {
  connect();
  listen_on_both();
  client->abort();
  write(*served, pattern(3'000'000));  // unread at the client: its close is a reset
  client.reset();
  ASSERT_TRUE(until([&] { return at_server.losses == 1; }));
  write(*served, "nobody");
  driver.run_for(Millis(5));
  EXPECT_EQ(at_server.losses, 1);
  EXPECT_EQ(at_server.eofs, 0);
}

TEST_F(TlsTest, GarbageAfterTheHandshakeIsALossWithAnAlert) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  driver.turn([&] { served->start_reading(); });
  auto wire = manual.encrypt("secret");
  wire.back() = static_cast<char>(wire.back() ^ 1);
  peer.send(wire);
  ASSERT_TRUE(until([&] { return at_server.losses == 1; }));
  EXPECT_EQ(at_server.data, "");
  EXPECT_NE(at_server.reason.find("bad record mac"), std::string::npos) << at_server.reason;
  ASSERT_TRUE(until([&] {
    manual.decrypt();
    return SSL_get_shutdown(manual.ssl.get()) != 0 || ERR_peek_error() != 0;
  }));
  ERR_clear_error();
}

size_t allocated() {
  return mallinfo2().uordblks;
}

// A peer that goes on after its close_notify, or after its connection was found broken, or before anybody
// reads, must not fill memory.
TEST_F(TlsTest, APeerThatFloodsAStreamNobodyReadsIsHeldBackByItsSocket) {
  const std::string flood(1 << 20, 'x');
  for (const auto* when : {"before reading", "after close_notify", "after a failure"}) {
    SCOPED_TRACE(when);
    server_result = {};
    Recorder seen;
    serve_raw();
    ManualClient manual(*client_tls, "mail.example.org", peer);
    SHAKE_RAW(manual);
    if (when != std::string("before reading")) {
      served->set_handler(&seen);
      driver.turn([&] { served->start_reading(); });
      if (when == std::string("after close_notify")) {
        SSL_shutdown(manual.ssl.get());
        peer.send(manual.output());
        ASSERT_TRUE(until([&] { return seen.eofs == 1; }));
      } else {
        peer.send("this is no TLS record at all");
        ASSERT_TRUE(until([&] { return seen.losses == 1; }));
      }
    }
    const auto before = allocated();
    size_t sent = 0;
    for (int i = 0; i < 60; ++i) {
      sent += peer.send(flood);
      driver.run_for(Millis(1));
    }
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
    EXPECT_LT(allocated(), before + 1'000'000);
#endif
    EXPECT_TRUE(allocated() >= before || sent > 0);
    served->abort();
    served.reset();
  }
}

TEST_F(TlsTest, GarbageInsteadOfAClientHelloEndsTheHandshake) {
  const std::pair<std::string, bool> cases[] = {
      {"a1 CAPABILITY\r\n", false},                                      // no TLS at all: no alert either
      {std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01x", 10), true},  // a record with nonsense in it
  };
  for (const auto& [garbage, alerted] : cases) {
    server_result = {};
    serve_raw();
    peer.send(garbage);
    ASSERT_TRUE(until([&] { return server_result.ended; }));
    EXPECT_EQ(server_result.problem.find("TLS handshake: "), 0u) << server_result.problem;
    served.reset();
    std::string alert;
    ASSERT_TRUE(until([&] {
      alert += peer.receive();
      return peer.ended || peer.error;
    }));
    EXPECT_EQ(peer.error, 0);
    EXPECT_EQ(alert.substr(0, 1), alerted ? "\x15" : "");
    EXPECT_EQ(ERR_peek_error(), 0u);
  }
}

TEST_F(TlsTest, AHandshakeEndsByItsLimitByEofByResetAndByCancelling) {
  auto [theirs, ours] = test::tcp_pair();
  served = make_server(std::move(ours));
  driver.turn([&] { scope.spawn(shake(*served, Millis(20), server_result)); });
  ASSERT_TRUE(until([&] { return server_result.ended; }));
  EXPECT_EQ(server_result.problem, "the TLS handshake took too long");
  served.reset();

  server_result = {};
  serve_raw();
  peer.half_close();
  ASSERT_TRUE(until([&] { return server_result.ended; }));
  EXPECT_EQ(server_result.problem, "closed during the TLS handshake");
  served.reset();

  server_result = {};
  serve_raw();
  peer.send("\x16\x03\x01");
  driver.run_for(Millis(2));
  peer.reset_connection();
  ASSERT_TRUE(until([&] { return server_result.ended; }));
  EXPECT_EQ(server_result.problem, "connection reset by peer");
  served.reset();

  server_result = {};
  serve_raw();
  driver.run_for(Millis(2));
  scope.cancel();
  driver.turn([] {});
  EXPECT_EQ(server_result.problem, "cancelled");
  served.reset();
}

TEST_F(TlsTest, TheLastWordsArriveWithACloseNotifyThoughThePeerKeepsSending) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  peer.send(manual.encrypt(pattern(10'000)));
  driver.turn([&] {
    served->write("* BYE\r\n");
    served.reset();
  });
  std::string answer;
  ASSERT_TRUE(until([&] {
    peer.send("more");
    answer += manual.decrypt();
    return SSL_get_shutdown(manual.ssl.get()) != 0 || peer.error;
  }));
  EXPECT_EQ(answer, "* BYE\r\n");
  EXPECT_EQ(peer.error, 0);
}

TEST_F(TlsTest, ErrorsOfOneConnectionDoNotReachAnother) {
  connect();
  listen_on_both();
  at_server.then = [&](std::string_view) { ERR_raise(ERR_LIB_USER, 42); };
  driver.turn([&] {
    client->write("one");
    ERR_raise(ERR_LIB_USER, 43);
  });
  ERR_raise(ERR_LIB_USER, 44);
  ASSERT_TRUE(until([&] { return at_server.data == "one"; }));
  write(*client, "two");
  ERR_raise(ERR_LIB_USER, 45);
  ASSERT_TRUE(until([&] { return at_server.data == "onetwo"; }));
  EXPECT_EQ(at_server.losses + at_client.losses, 0);
  ERR_clear_error();
}

TEST_F(TlsTest, KeyUpdatesAreAnsweredAtOnce) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  driver.turn([&] { served->start_reading(); });
  SSL_key_update(manual.ssl.get(), SSL_KEY_UPDATE_REQUESTED);
  peer.send(manual.encrypt("with new keys"));
  ASSERT_TRUE(until([&] { return at_server.data == "with new keys"; }));
  write(*served, "me too");
  std::string answer;
  ASSERT_TRUE(until([&] {
    answer += manual.decrypt();
    return answer == "me too";
  }));
}

TEST_F(TlsTest, FinishSendsACloseNotifyOnceAndThePeerMaySendOn) {
  serve_raw();
  ManualClient manual(*client_tls, "mail.example.org", peer);
  SHAKE_RAW(manual);
  served->set_handler(&at_server);
  driver.turn([&] {
    served->start_reading();
    served->write("last");
    served->finish();
    served->finish();
  });
  std::string answer;
  ASSERT_TRUE(until([&] {
    answer += manual.decrypt();
    return peer.ended;
  }));
  EXPECT_EQ(answer, "last");
  EXPECT_EQ(SSL_get_shutdown(manual.ssl.get()), SSL_RECEIVED_SHUTDOWN);
  peer.send(manual.encrypt("still here"));
  ASSERT_TRUE(until([&] { return at_server.data == "still here"; }));
}

async::Task<> destroy(std::unique_ptr<TlsStream>& stream, async::Event& now) {
  co_await now.wait();
  stream.reset();
}

TEST_F(TlsTest, AHandlerDestroysItsStreamThroughATask) {
  for (const auto* how : {"data", "eof", "truncation", "garbage", "reset"}) {
    SCOPED_TRACE(how);
    server_result = {};
    serve_raw();
    ManualClient manual(*client_tls, "mail.example.org", peer);
    SHAKE_RAW(manual);
    Recorder fresh;
    served->set_handler(&fresh);
    async::Event now;
    async::TaskScope destroyers(loop());
    driver.turn([&] {
      served->start_reading();
      destroyers.spawn(destroy(served, now));
    });
    fresh.then = [&](std::string_view) { now.set(); };
    fresh.at_eof = fresh.at_loss = [&] {
      served->write("answer");
      now.set();
    };
    const std::string kind = how;
    if (kind == "data") peer.send(manual.encrypt("one") + manual.encrypt("two"));
    if (kind == "eof") {
      SSL_shutdown(manual.ssl.get());
      peer.send(manual.output());
    }
    if (kind == "truncation") peer.half_close();
    if (kind == "garbage") peer.send("this is no TLS record at all");
    if (kind == "reset") peer.reset_connection();
    ASSERT_TRUE(until([&] { return served == nullptr; }));
    EXPECT_TRUE(destroyers.empty());
    peer.reset();
  }
}

TEST_F(TlsTest, WhatIsWrittenBeforeTheHandshakeGoesOutAfterIt) {
  auto [theirs, ours] = test::tcp_pair();
  client = make_client(std::move(theirs), "mail.example.org");
  served = make_server(std::move(ours));
  listen_on_both();
  driver.turn([&] {
    served->write("early");
    scope.spawn(shake(*client, kLong, client_result));
    scope.spawn(shake(*served, kLong, server_result));
  });
  ASSERT_TRUE(until([&] { return at_client.data == "early"; })) << server_result.problem;
}

// No buffer of its own while idle: memory does not depend on what has gone through.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
TEST_F(TlsTest, AnIdleConnectionIsNoBiggerAfterTraffic) {
  connect();
  listen_on_both();
  at_server.data.reserve(100'000);
  at_client.data.reserve(100'000);
  write(*client, "x");
  write(*served, "x");
  ASSERT_TRUE(until([&] { return at_server.data.size() == 1 && at_client.data.size() == 1; }));
  const auto before = allocated();
  const auto text = pattern(10'000);
  write(*client, text);
  write(*served, text);
  ASSERT_TRUE(until([&] { return at_server.data.size() == 10'001 && at_client.data.size() == 10'001; }));
  // The loop's spare output buffers are shared by all streams; the streams themselves hold nothing.
  std::vector<std::string> spare;
  for (int i = 0; i < 64; ++i) spare.push_back(loop().take_buffer());
  spare = {};
  EXPECT_LT(allocated(), before + 6'000);
}
#endif

}  // namespace
}  // namespace imapmux::net
