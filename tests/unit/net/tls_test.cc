// TlsStream: handshakes, trust, names, tickets, chunk borders, endings, back-pressure.
#include <malloc.h>
#include <openssl/err.h>
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
using test::pattern;
using test::Recorder;
using test::TestCertificates;

constexpr Millis kLong{60'000};

struct HandshakeResult {
  std::string problem;
  bool ended = false;
  bool good() const { return ended && problem.empty(); }
};

Task<> shake(TlsStream& stream, Millis limit, HandshakeResult& result) {
  try {
    co_await stream.handshake(limit);
  } catch (const ConnectionLost& error) {
    result.problem = error.what();
  } catch (const async::Cancelled&) {
    result.problem = "cancelled";
  }
  result.ended = true;
}

std::unique_ptr<TcpStream> adopt(EventLoop& loop, Fd fd, Side side) {
  return TcpStream::adopt(loop, fd.release(), SocketKind::kTcp, side, test::kLocalPeer);
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
    auto [theirs, ours] = test::tcp_pair();
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
    auto [theirs, ours] = test::tcp_pair();
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

TEST_F(TlsTest, ShakesHandsOnBothSidesAndCarriesOctetsBothWays) {
  connect();
  ASSERT_TRUE(client_result.good() && server_result.good()) << client_result.problem << server_result.problem;
  EXPECT_TRUE(served->peer().tls);
  EXPECT_EQ(served->peer().sni, "mail.example.org");
  EXPECT_EQ(served->description().substr(0, 7), "TLSv1.3");
  listen_on_both();
  write(*client, "a1 NOOP\r\n");
  write(*served, "* OK\r\n");
  ASSERT_TRUE(until([&] { return at_server.data == "a1 NOOP\r\n" && at_client.data == "* OK\r\n"; }));
}

TEST_F(TlsTest, SmallPiecesWrittenInOneTurnAllArrive) {
  connect();
  listen_on_both();
  driver.turn([&] {
    for (const auto* piece : {"a", "b", "c", "d"}) client->write(piece);
    client->write_through("e");
  });
  driver.turn([&] { client->write_through("f"); });
  ASSERT_TRUE(until([&] { return at_server.data.size() >= 6; }));
  EXPECT_EQ(at_server.data, "abcdef");
  EXPECT_EQ(client->unsent(), 0u);
}

std::string shown_name(TlsStream&, SSL* ssl) {
  X509* certificate = SSL_get1_peer_certificate(ssl);
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  X509_free(certificate);
  return name;
}

TEST_F(TlsTest, TheNameAskedForPicksTheCertificate) {
  server_tls = server({{"default.test"}, {"*.example.org"}, {"imap.example.org"}, {"other.test", "2.test"}});
  client_tls = trusting(TlsTrust::kChainOnly);
  const std::pair<std::string, std::string> cases[] = {
      {"default.test", "default.test"},
      {"MAIL.Example.ORG", "*.example.org"},
      {"2.test", "other.test"},
      {"unknown.test", "default.test"},
      {"a.b.example.org", "default.test"},
      {"example.org", "default.test"},
      {"127.0.0.1", "default.test"},
      {"imap.example.org", "imap.example.org"},
  };
  for (const auto& [asked, shown] : cases) {
    SCOPED_TRACE(asked);
    auto ssl = client_tls->open(asked);
    SSL* watched = ssl.get();
    connect(asked, std::move(ssl));
    ASSERT_TRUE(client_result.good()) << client_result.problem;
    EXPECT_EQ(shown_name(*client, watched), shown);
    EXPECT_EQ(served->peer().sni, asked == "127.0.0.1" ? "" : asked);
  }
}

TEST_F(TlsTest, TrustsWhatItsAuthorityHasSignedForTheNameAndNothingElse) {
  server_tls = server({{"mail.example.org", "*.pool.example.org", "127.0.0.1"}});
  const auto problem = [&](const std::string& name) {
    connect(name);
    return client_result.problem;
  };
  EXPECT_EQ(problem("mail.example.org"), "");
  EXPECT_EQ(problem("a.pool.example.org"), "");
  EXPECT_EQ(problem("127.0.0.1"), "");
  EXPECT_EQ(problem("other.example.org"), "TLS certificate: hostname mismatch");
  EXPECT_NE(server_result.problem, "") << "the server learns of it";
  EXPECT_EQ(problem("127.0.0.2"), "TLS certificate: IP address mismatch");
  EXPECT_EQ(problem("a.b.pool.example.org"), "TLS certificate: hostname mismatch");
  client_tls = trusting(TlsTrust::kChainOnly);
  EXPECT_EQ(problem("other.example.org"), "");
  TestCertificates others;
  for (const auto trust : {TlsTrust::kFull, TlsTrust::kChainOnly}) {
    client_tls = ClientTls::make({.trust = trust, .ca = others.ca(), .floor = {}, .ciphers = {}});
    EXPECT_EQ(problem("mail.example.org"), "TLS certificate: unable to get local issuer certificate");
    EXPECT_NE(server_result.problem.find("unknown ca"), std::string::npos) << server_result.problem;
  }
  client_tls = ClientTls::make({.trust = TlsTrust::kNone, .ca = {}, .floor = {}, .ciphers = {}});
  EXPECT_EQ(problem("whatever.test"), "");
  client_tls = ClientTls::make({.trust = TlsTrust::kFull, .ca = {}, .floor = {}, .ciphers = {}});
  EXPECT_NE(problem("mail.example.org"), "") << "the system's certificates";
}

TEST_F(TlsTest, RefusesCertificatesOutOfTheirTime) {
  for (const auto& [validity, text] :
       {std::pair{TestCertificates::Validity::kExpired, "TLS certificate: certificate has expired"},
        std::pair{TestCertificates::Validity::kNotYet, "TLS certificate: certificate is not yet valid"}}) {
    const auto files = certificates.issue({"mail.example.org"}, validity);
    server_tls = ServerTls::make(
        {.identities = {{{}, files.certificate, files.private_key}}, .floor = {}, .client_ca = {}}, nullptr);
    connect();
    EXPECT_EQ(client_result.problem, text);
  }
}

// An untrusted client that does not verify must not blame the certificate for something else.
TEST_F(TlsTest, AFailureThatIsNotTheCertificatesIsNotBlamedOnIt) {
  client_tls =
      ClientTls::make({.trust = TlsTrust::kNone, .ca = {}, .floor = TlsFloor::kTls12, .ciphers = {}});
  auto [theirs, ours] = test::tcp_pair();
  auto ssl = client_tls->open("mail.example.org");
  SSL_set_max_proto_version(ssl.get(), TLS1_2_VERSION);
  server_tls = server({{"mail.example.org"}}, TlsFloor::kTls12, certificates.ca());
  connect("mail.example.org", std::move(ssl));
  EXPECT_EQ(client_result.problem.find("TLS certificate:"), std::string::npos) << client_result.problem;
  EXPECT_NE(client_result.problem, "");
  EXPECT_EQ(server_result.problem, "TLS handshake: peer did not return a certificate");
}

TEST_F(TlsTest, TheFloorHolds) {
  server_tls = server({{"mail.example.org"}}, TlsFloor::kTls13);
  auto ssl = client_tls->open("mail.example.org");
  SSL_set_max_proto_version(ssl.get(), TLS1_2_VERSION);
  connect("mail.example.org", std::move(ssl));
  EXPECT_NE(server_result.problem.find("unsupported protocol"), std::string::npos) << server_result.problem;
  EXPECT_NE(client_result.problem.find("alert protocol version"), std::string::npos) << client_result.problem;
  server_tls = server({{"mail.example.org"}}, TlsFloor::kTls10);
  client_tls = ClientTls::make(
      {.trust = TlsTrust::kFull, .ca = certificates.ca(), .floor = TlsFloor::kTls10, .ciphers = {}});
  ssl = client_tls->open("mail.example.org");
  SSL_set_max_proto_version(ssl.get(), TLS1_VERSION);
  connect("mail.example.org", std::move(ssl));
  ASSERT_TRUE(client_result.good()) << client_result.problem;
  EXPECT_EQ(client->description().substr(0, 6), "TLSv1 ");
}

TEST_F(TlsTest, AsksForClientCertificatesWithAnAuthority) {
  server_tls = server({{"mail.example.org"}}, TlsFloor::kTls12, certificates.ca());
  const auto files = certificates.issue({"user"});
  auto ssl = client_tls->open("mail.example.org");
  SSL_use_certificate_file(ssl.get(), files.certificate.c_str(), SSL_FILETYPE_PEM);
  SSL_use_PrivateKey_file(ssl.get(), files.private_key.c_str(), SSL_FILETYPE_PEM);
  connect("mail.example.org", std::move(ssl));
  EXPECT_TRUE(server_result.good()) << server_result.problem;
  // Without one: TLS 1.3 tells the client after its handshake.
  connect();
  EXPECT_EQ(server_result.problem, "TLS handshake: peer did not return a certificate");
  EXPECT_TRUE(client_result.good());
  client->set_handler(&at_client);
  driver.turn([&] { client->start_reading(); });
  ASSERT_TRUE(until([&] { return at_client.losses == 1; }));
  EXPECT_NE(at_client.reason.find("certificate required"), std::string::npos) << at_client.reason;
  EXPECT_EQ(at_client.eofs, 0);
}

TEST_F(TlsTest, ProblemsWithFilesNameTheFileAndTheReason) {
  const auto good = certificates.issue({"a.test"});
  const auto other = certificates.issue({"b.test"});
  const auto problem = [&](const std::string& certificate, const std::string& key) -> std::string {
    try {
      (void)ServerTls::make({.identities = {{{}, certificate, key}}, .floor = {}, .client_ca = {}}, nullptr);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(problem(good.certificate, good.private_key), "");
  const auto missing = problem("/no/such/file.pem", good.private_key);
  EXPECT_EQ(missing.substr(0, 44), "/no/such/file.pem: No such file or directory") << missing;
  const auto mixed = problem(good.certificate, other.private_key);
  EXPECT_NE(mixed.find("key values mismatch"), std::string::npos) << mixed;
  const auto garbage = certificates.write("garbage", "not a certificate");
  EXPECT_NE(problem(garbage, good.private_key).find("no start line"), std::string::npos);
  // An encrypted key must fail, not ask on the terminal.
  const auto encrypted = certificates.encrypted_key(good, "secret");
  EXPECT_EQ(problem(encrypted.certificate, encrypted.private_key).substr(0, 5),
            encrypted.private_key.substr(0, 5));
  EXPECT_THROW((void)ServerTls::make({}, nullptr), std::runtime_error);
  EXPECT_THROW((void)ClientTls::make({.trust = {}, .ca = "/no/such/ca", .floor = {}, .ciphers = {}}),
               std::runtime_error);
  EXPECT_THROW((void)ClientTls::make({.trust = {}, .ca = {}, .floor = {}, .ciphers = "NONSENSE"}),
               std::runtime_error);
  EXPECT_EQ(ERR_peek_error(), 0u) << "nothing is left in the error queue";
}

// One connection; returns the session to resume, and whether `session` was.
struct Resumption {
  bool resumed = false;
  std::shared_ptr<SSL_SESSION> session;
};

Resumption resume(const ServerTls& tls, const std::shared_ptr<const ClientTls>& client_tls,
                  const std::shared_ptr<SSL_SESSION>& session, int version) {
  LoopDriver driver;
  async::TaskScope scope(driver.loop);
  auto [theirs, ours] = test::tcp_pair();
  auto ssl = client_tls->open("mail.example.org");
  SSL* watched = ssl.get();
  SSL_set_max_proto_version(watched, version);
  if (session) SSL_set_session(watched, session.get());
  TlsStream client(adopt(driver.loop, std::move(theirs), Side::kBackend), std::move(ssl), client_tls);
  TlsStream served(adopt(driver.loop, std::move(ours), Side::kClient), tls.open(), nullptr);
  HandshakeResult a;
  HandshakeResult b;
  driver.turn([&] {
    scope.spawn(shake(client, kLong, a));
    scope.spawn(shake(served, kLong, b));
  });
  EXPECT_TRUE(driver.run_until([&] { return scope.empty(); }));
  EXPECT_TRUE(a.good() && b.good()) << a.problem << b.problem;
  Recorder seen;
  client.set_handler(&seen);
  driver.turn([&] {
    client.start_reading();
    served.write("after the ticket");
  });
  EXPECT_TRUE(driver.run_until([&] { return !seen.data.empty(); }));
  Resumption result;
  result.resumed = SSL_session_reused(watched) == 1;
  result.session = {SSL_get1_session(watched), SSL_SESSION_free};
  client.abort();
  served.abort();
  return result;
}

TEST_F(TlsTest, TicketsAreGoodOnEveryLoopAndAcrossAReload) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    SCOPED_TRACE(version);
    const auto first = resume(*server_tls, client_tls, nullptr, version);
    EXPECT_FALSE(first.resumed);
    const auto again = resume(*server_tls, client_tls, first.session, version);
    EXPECT_TRUE(again.resumed);
    Resumption elsewhere;
    std::thread([&] { elsewhere = resume(*server_tls, client_tls, again.session, version); }).join();
    EXPECT_TRUE(elsewhere.resumed);
    const auto reloaded =
        server({{"other.test"}, {"mail.example.org"}}, TlsFloor::kTls12, {}, server_tls.get());
    const auto after = resume(*reloaded, client_tls, elsewhere.session, version);
    EXPECT_TRUE(after.resumed);
    const auto unrelated = server({{"mail.example.org"}});
    EXPECT_FALSE(resume(*unrelated, client_tls, after.session, version).resumed);
  }
}

#if !__has_feature( \
    thread_sanitizer)  // which does not see libuv close descriptors, and takes reuse for a race
TEST_F(TlsTest, ManyThreadsShareOneServerTls) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      std::shared_ptr<SSL_SESSION> session;
      for (int i = 0; i < 5; ++i) session = resume(*server_tls, client_tls, session, TLS1_3_VERSION).session;
    });
  for (auto& thread : threads) thread.join();
}
#endif

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

// Brings the raw client's handshake to its end.
#define SHAKE_RAW(manual)                                     \
  do {                                                        \
    (manual).step();                                          \
    peer.send((manual).output());                             \
    ASSERT_TRUE(until([&] { return (manual).step(); }));      \
    peer.send((manual).output());                             \
    ASSERT_TRUE(until([&] { return server_result.good(); })); \
  } while (false)

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
