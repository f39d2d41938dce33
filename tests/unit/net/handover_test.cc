// Connections that move to another loop in another thread, plain and TLS.
#include <openssl/ssl.h>

#include "net/tls_stream.h"
#include "support/loop_driver.h"
#include "support/test_certificates.h"

namespace imapmux::net {
namespace {

using async::Task;
using base::Millis;
using test::Fd;
using test::LoopDriver;
using test::LoopThread;
using test::pattern;
using test::Recorder;

TEST(HandOver, APlainConnectionTakesItsUnreadOctetsAlong) {
  LoopThread owner;
  LoopDriver driver;
  auto [peer, ours] = test::tcp_pair();
  auto stream =
      TcpStream::adopt(driver.loop, ours.release(), SocketKind::kTcp, Side::kClient, test::kLocalPeer);
  Recorder seen;
  seen.then = [&](std::string_view) { stream->stop_reading(); };
  stream->set_handler(&seen);
  driver.turn([&] { stream->start_reading(); });
  peer.send("a1 LOGIN u p\r\n");
  ASSERT_TRUE(driver.run_until([&] { return !seen.data.empty(); }));
  peer.send("a2 NOOP\r\n");  // in the kernel during the hand-over
  int fd = -1;
  driver.turn([&] {
    stream->write("a1 OK\r\n");  // in the same turn
    fd = stream->release();
    stream.reset();
  });
  ASSERT_GE(fd, 0);
  std::unique_ptr<TcpStream> moved;
  Recorder there;
  owner.call([&] {
    moved = TcpStream::adopt(owner.loop, fd, SocketKind::kTcp, Side::kClient, test::kLocalPeer);
    moved->set_handler(&there);
    moved->start_reading();
    moved->write("* there\r\n");
  });
  ASSERT_TRUE(owner.wait_until([&] { return there.data == "a2 NOOP\r\n"; }));
  std::string answers;
  ASSERT_TRUE(driver.run_until([&] {
    answers += peer.receive();
    return answers == "a1 OK\r\n* there\r\n";
  }));
  driver.run_for(Millis(5));
  EXPECT_EQ(seen.eofs + seen.losses, 0);
  peer.half_close();
  ASSERT_TRUE(owner.wait_until([&] { return there.eofs == 1; }));
  owner.call([&] { moved.reset(); });
}

struct Shaken {
  std::string problem;
  bool ended = false;
};

Task<> shake(TlsStream& stream, Shaken& result) {
  try {
    co_await stream.handshake(Millis(60'000));
  } catch (const ConnectionLost& error) {
    result.problem = error.what();
  }
  result.ended = true;
}

struct TlsHandOver : testing::Test {
  TlsHandOver() {
    const auto files = certificates.issue({"mail.example.org"});
    server_tls =
        ServerTls::make({.identities = {{{"mail.example.org"}, files.certificate, files.private_key}},
                         .floor = {},
                         .client_ca = {}},
                        nullptr);
    client_tls = ClientTls::make({.trust = {}, .ca = certificates.ca(), .floor = {}, .ciphers = {}});
    auto [theirs, ours] = test::tcp_pair();
    client = std::make_unique<TlsStream>(
        TcpStream::adopt(driver.loop, theirs.release(), SocketKind::kTcp, Side::kBackend, test::kLocalPeer),
        client_tls->open("mail.example.org"), client_tls);
    served = std::make_unique<TlsStream>(
        TcpStream::adopt(driver.loop, ours.release(), SocketKind::kTcp, Side::kClient, test::kLocalPeer),
        server_tls->open(), server_tls);
    Shaken a;
    Shaken b;
    async::TaskScope scope(driver.loop);
    driver.turn([&] {
      scope.spawn(shake(*client, a));
      scope.spawn(shake(*served, b));
    });
    EXPECT_TRUE(driver.run_until([&] { return scope.empty(); }));
    EXPECT_EQ(a.problem + b.problem, "");
    client->set_handler(&at_client);
    served->set_handler(&at_server);
    driver.turn([&] {
      client->start_reading();
      served->start_reading();
    });
  }
  test::TestCertificates certificates;
  LoopDriver driver;
  std::shared_ptr<const ServerTls> server_tls;
  std::shared_ptr<const ClientTls> client_tls;
  std::unique_ptr<TlsStream> client;
  std::unique_ptr<TlsStream> served;
  Recorder at_client;
  Recorder at_server;
};

TEST_F(TlsHandOver, TakesHeldCiphertextAndTheSessionAlong) {
  LoopThread owner;
  at_server.then = [&](std::string_view) { served->stop_reading(); };
  driver.turn([&] {
    client->write_through("one ");  // records of their own in one chunk
    client->write_through("two ");
    client->write_through("three ");
  });
  ASSERT_TRUE(driver.run_until([&] { return at_server.data == "one "; }));
  driver.turn([&] { client->write("four "); });
  driver.run_for(Millis(5));
  int fd = -1;
  std::optional<TlsStream::Transfer> transfer;
  driver.turn([&] {
    served->write("from here ");
    transfer.emplace(served->release(fd));
    served.reset();
  });
  EXPECT_FALSE(transfer->ciphertext.empty());
  EXPECT_EQ(transfer->sni, "mail.example.org");
  std::unique_ptr<TlsStream> moved;
  Recorder there;
  owner.call([&] {
    moved = std::make_unique<TlsStream>(
        TcpStream::adopt(owner.loop, fd, SocketKind::kTcp, Side::kClient, test::kLocalPeer),
        std::move(*transfer));
    moved->set_handler(&there);
    moved->start_reading();
    moved->write("from there");
  });
  transfer.reset();
  server_tls.reset();  // a reload: the session keeps what it needs
  ASSERT_TRUE(owner.wait_until([&] { return there.data == "two three four "; }));
  ASSERT_TRUE(driver.run_until([&] { return at_client.data == "from here from there"; }));
  EXPECT_TRUE(owner.call([&] { return moved->peer().tls && moved->peer().sni == "mail.example.org"; }));
  const auto big = pattern(1'000'000);
  driver.turn([&] { client->write(big); });
  ASSERT_TRUE(driver.run_until([&] { return client->unsent() == 0; }));
  ASSERT_TRUE(owner.wait_until([&] { return there.data.size() == 15 + big.size(); }));
  EXPECT_TRUE(owner.call([&] { return there.data.substr(15) == big; }));
  client.reset();
  driver.run_for(Millis(1));
  ASSERT_TRUE(owner.wait_until([&] { return there.eofs == 1; }));
  owner.call([&] { moved.reset(); });
  driver.run_for(Millis(5));
}

TEST_F(TlsHandOver, ACloseNotifyThatWasReadBeforeIsTold) {
  LoopThread owner;
  driver.turn([&] {
    client->write("last");
    client.reset();
  });
  ASSERT_TRUE(driver.run_until([&] { return at_server.eofs == 1; }));
  int fd = -1;
  std::optional<TlsStream::Transfer> transfer;
  driver.turn([&] {
    transfer.emplace(served->release(fd));
    served.reset();
  });
  std::unique_ptr<TlsStream> moved;
  Recorder there;
  owner.call([&] {
    moved = std::make_unique<TlsStream>(
        TcpStream::adopt(owner.loop, fd, SocketKind::kTcp, Side::kClient, test::kLocalPeer),
        std::move(*transfer));
    transfer.reset();
    moved->set_handler(&there);
    moved->start_reading();
  });
  ASSERT_TRUE(owner.wait_until([&] { return there.eofs == 1; }));
  owner.call([&] { moved.reset(); });
}

TEST_F(TlsHandOver, ATransferThatArrivesNowhereLeavesNothing) {
  int fd = -1;
  driver.turn([&] {
    auto transfer = served->release(fd);
    served.reset();
  });
  ::close(fd);
  ASSERT_TRUE(driver.run_until([&] { return at_client.eofs + at_client.losses == 1; }));
}

}  // namespace
}  // namespace imapmux::net
