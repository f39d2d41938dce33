// TlsStream: handshakes, trust, names, tickets.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <thread>

#include "support/tls_fixture.h"

namespace imapmux::net {
namespace {

using namespace test;

TEST_F(TlsTest, ShakesHandsOnBothSidesAndCarriesOctetsBothWays) {
  connect();
  ASSERT_TRUE(client_result.good() && server_result.good()) << client_result.problem << server_result.problem;
  EXPECT_TRUE(served->peer().tls);
  EXPECT_EQ(served->peer().sni, "mail.example.org");
  EXPECT_EQ(served->facts().protocol, "TLSv1.3");
  EXPECT_FALSE(served->facts().peer);
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
  EXPECT_EQ(client->facts().protocol, "TLSv1");
}

TEST_F(TlsTest, AsksForClientCertificatesWithAnAuthority) {
  server_tls = server({{"mail.example.org"}}, TlsFloor::kTls12, certificates.ca());
  const auto files = certificates.issue({"user"});
  auto ssl = client_tls->open("mail.example.org");
  SSL_use_certificate_file(ssl.get(), files.certificate.c_str(), SSL_FILETYPE_PEM);
  SSL_use_PrivateKey_file(ssl.get(), files.private_key.c_str(), SSL_FILETYPE_PEM);
  connect("mail.example.org", std::move(ssl));
  EXPECT_TRUE(server_result.good()) << server_result.problem;
  const auto shown = served->facts().peer;
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->subject, "CN=user");
  EXPECT_EQ(shown->issuer.substr(0, 3), "CN=");
  EXPECT_FALSE(shown->serial.empty());
  EXPECT_EQ(shown->fingerprint.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(shown->fingerprint.size(), 40U);
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

}  // namespace
}  // namespace imapmux::net
