// TLS streams on a loop for tests: both ends, or one end against plain OpenSSL.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/tls_stream.h"
#include "support/loop_driver.h"
#include "support/test_certificates.h"

namespace imapmux::test {

using async::Task;
using base::Millis;
using net::ClientTls;
using net::ConnectionLost;
using net::EventLoop;
using net::ServerTls;
using net::ServerTlsOptions;
using net::Side;
using net::SocketKind;
using net::Ssl;
using net::TcpStream;
using net::TlsFloor;
using net::TlsStream;
using net::TlsTrust;

constexpr Millis kLong{60'000};

struct HandshakeResult {
  std::string problem;
  bool ended = false;
  bool good() const { return ended && problem.empty(); }
};

inline Task<> shake(TlsStream& stream, Millis limit, HandshakeResult& result) {
  try {
    co_await stream.handshake(limit);
  } catch (const ConnectionLost& error) {
    result.problem = error.what();
  } catch (const async::Cancelled&) {
    result.problem = "cancelled";
  }
  result.ended = true;
}

inline std::unique_ptr<TcpStream> adopt(EventLoop& loop, Fd fd, Side side) {
  return TcpStream::adopt(loop, fd.release(), SocketKind::kTcp, side, kLocalPeer);
}

struct TlsTest : testing::Test {
  TlsTest() { server_tls = server({{{"mail.example.org"}}}); }
  void TearDown() override {
    scope.cancel();
    driver.turn([] {});
    for (auto* stream : {&client, &served})
      if (*stream) (*stream)->abort();
    client.reset();
    served.reset();
  }

  std::shared_ptr<const ServerTls> server(const std::vector<std::vector<std::string>>& identities,
                                          TlsFloor floor = TlsFloor::kTls12, std::string client_ca = {},
                                          const ServerTls* previous = nullptr) {
    ServerTlsOptions options{.identities = {}, .floor = floor, .client_ca = std::move(client_ca)};
    for (const auto& names : identities) {
      const auto files = certificates.issue(names);
      options.identities.push_back({names, files.certificate, files.private_key});
    }
    return ServerTls::make(options, previous);
  }
  std::shared_ptr<const ClientTls> trusting(TlsTrust trust = TlsTrust::kFull) {
    return ClientTls::make({.trust = trust, .ca = certificates.ca(), .floor = {}, .ciphers = {}});
  }
  EventLoop& loop() { return driver.loop; }
  bool until(const std::function<bool()>& done) { return driver.run_until(done); }

  std::unique_ptr<TlsStream> make_client(Fd fd, const std::string& name, Ssl ssl = nullptr) {
    if (!ssl) ssl = client_tls->open(name);
    return std::make_unique<TlsStream>(adopt(loop(), std::move(fd), Side::kBackend), std::move(ssl),
                                       client_tls);
  }
  std::unique_ptr<TlsStream> make_server(Fd fd) {
    return std::make_unique<TlsStream>(adopt(loop(), std::move(fd), Side::kClient), server_tls->open(),
                                       server_tls);
  }
  // Both ends on the loop, up to the end of both handshakes.
  void connect(const std::string& name = "mail.example.org", Ssl ssl = nullptr) {
    auto [theirs, ours] = tcp_pair();
    client = make_client(std::move(theirs), name, std::move(ssl));
    served = make_server(std::move(ours));
    client_result = {};
    server_result = {};
    driver.turn([&] {
      scope.spawn(shake(*client, kLong, client_result));
      scope.spawn(shake(*served, kLong, server_result));
    });
    EXPECT_TRUE(until([&] { return client_result.ended && server_result.ended; }));
  }
  void listen_on_both() {
    client->set_handler(&at_client);
    served->set_handler(&at_server);
    driver.turn([&] {
      client->start_reading();
      served->start_reading();
    });
  }
  void write(TlsStream& stream, std::string_view octets) {
    driver.turn([&] { stream.write(octets); });
  }
  // The client's side by hand, over a raw descriptor: what arrives when is the test's choice.
  void serve_raw() {
    auto [theirs, ours] = tcp_pair();
    peer = std::move(theirs);
    served = make_server(std::move(ours));
    driver.turn([&] { scope.spawn(shake(*served, kLong, server_result)); });
  }

  TestCertificates certificates;
  LoopDriver driver;
  std::shared_ptr<const ServerTls> server_tls;
  std::shared_ptr<const ClientTls> client_tls = trusting();
  std::unique_ptr<TlsStream> client;
  std::unique_ptr<TlsStream> served;
  Fd peer;
  HandshakeResult client_result;
  HandshakeResult server_result;
  Recorder at_client;
  Recorder at_server;
  async::TaskScope scope{driver.loop};
};

// A TLS client of plain OpenSSL with memory BIOs, whose octets the test carries.
struct ManualClient {
  ManualClient(const ClientTls& tls, const std::string& name, Fd& to) : ssl(tls.open(name)), fd(to) {
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }
  std::string output() {
    std::string all(BIO_ctrl_pending(SSL_get_wbio(ssl.get())), 0);
    if (!all.empty()) BIO_read(SSL_get_wbio(ssl.get()), all.data(), static_cast<int>(all.size()));
    return all;
  }
  void input() {
    const auto octets = fd.receive();
    if (!octets.empty()) BIO_write(SSL_get_rbio(ssl.get()), octets.data(), static_cast<int>(octets.size()));
  }
  bool step() {
    input();
    return SSL_do_handshake(ssl.get()) == 1;
  }
  std::string encrypt(std::string_view text) {
    size_t put = 0;
    EXPECT_EQ(SSL_write_ex(ssl.get(), text.data(), text.size(), &put), 1);
    return output();
  }
  std::string decrypt() {
    input();
    std::string all;
    char buffer[16384];
    size_t got = 0;
    while (SSL_read_ex(ssl.get(), buffer, sizeof buffer, &got) == 1) all.append(buffer, got);
    return all;
  }
  Ssl ssl;
  Fd& fd;
};

}  // namespace imapmux::test

// Brings the raw client's handshake to its end.
#define SHAKE_RAW(manual)                                     \
  do {                                                        \
    (manual).step();                                          \
    peer.send((manual).output());                             \
    ASSERT_TRUE(until([&] { return (manual).step(); }));      \
    peer.send((manual).output());                             \
    ASSERT_TRUE(until([&] { return server_result.good(); })); \
  } while (false)
