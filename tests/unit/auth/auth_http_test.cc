// nginx's auth_http protocol: what is asked (as the real nginx 1.22 was seen to ask), and what is made of
// answers, which are fed in every split.
#include "auth/auth_http.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/wire/every_split.h"

namespace imapmux::auth {
namespace {

using Event = AnswerParser::Event;
using Verdict = ServiceAnswer::Verdict;

Credential password(std::string user, const std::string& secret) {
  Credential credential;
  credential.authentication_id = std::move(user);
  credential.secret = base::Secret(secret);
  return credential;
}

struct Question : testing::Test {
  Question() {
    service.host = "127.0.0.1";
    service.target = "/auth?x=1";
    client.address = "192.0.2.7";
  }
  std::string asked(const Credential& credential) const {
    return std::string(write_question(service, credential, client).view());
  }
  config::AuthHttp service;
  ClientFacts client;
};

TEST_F(Question, IsWhatNginxAsks) {
  client.attempt = 2;
  service.headers.push_back({"X-Key", base::Secret("se cret")});
  EXPECT_EQ(asked(password("bob x%+=\xe9@d", "p w&~")),
            "GET /auth?x=1 HTTP/1.0\r\n"
            "Host: 127.0.0.1\r\n"
            "Auth-Method: plain\r\n"
            "Auth-User: bob%20x%25+=\xe9@d\r\n"
            "Auth-Pass: p%20w&~\r\n"
            "Auth-Protocol: imap\r\n"
            "Auth-Login-Attempt: 2\r\n"
            "Client-IP: 192.0.2.7\r\n"
            "X-Key: se cret\r\n"
            "\r\n");
}

TEST_F(Question, TellsOfTlsAndOfTheProxyInFront) {
  client.proxy_header = {
      .address = "192.0.2.7", .port = "50123", .server_address = "198.51.100.1", .server_port = "993"};
  client.tls.emplace("TLSv1.3", "TLS_AES_256_GCM_SHA384");
  const auto without = asked(password("bob", "x"));
  EXPECT_NE(without.find("Client-IP: 192.0.2.7\r\n"
                         "Proxy-Protocol-Addr: 192.0.2.7\r\n"
                         "Proxy-Protocol-Port: 50123\r\n"
                         "Proxy-Protocol-Server-Addr: 198.51.100.1\r\n"
                         "Proxy-Protocol-Server-Port: 993\r\n"
                         "Auth-SSL: on\r\n"
                         "Auth-SSL-Protocol: TLSv1.3\r\n"
                         "Auth-SSL-Cipher: TLS_AES_256_GCM_SHA384\r\n\r\n"),
            std::string::npos)
      << without;
  client.tls->certificate.emplace("CN=client one,O=Ex", "CN=TestCA", "0416AE", "304b4a");
  const auto with = asked(password("bob", "x"));
  EXPECT_NE(with.find("Auth-SSL-Verify: SUCCESS\r\n"
                      "Auth-SSL-Subject: CN=client one,O=Ex\r\n"
                      "Auth-SSL-Issuer: CN=TestCA\r\n"
                      "Auth-SSL-Serial: 0416AE\r\n"
                      "Auth-SSL-Fingerprint: 304b4a\r\n\r\n"),
            std::string::npos)
      << with;
}

TEST_F(Question, NothingBeginsAHeaderOfItsOwn) {
  client.tls.emplace("TLSv1.3", "x");
  client.tls->certificate.emplace("CN=a\r\nAuth-User: root", "", "", "");
  const auto text = asked(password("bob\r\nAuth-User: root", "x\r\n\r\nGET /"));
  EXPECT_NE(text.find("Auth-User: bob%0D%0AAuth-User:%20root\r\nAuth-Pass: x%0D%0A%0D%0AGET%20/\r\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Auth-SSL-Subject: CN=a  Auth-User: root\r\n"), std::string::npos) << text;
}

TEST_F(Question, AToken) {
  auto credential = password("bob", "token");
  credential.mechanism = config::Mechanism::kXoauth2;
  EXPECT_NE(asked(credential).find("Auth-Method: xoauth2\r\nAuth-User: bob\r\nAuth-Pass: token\r\n"),
            std::string::npos);
  credential.mechanism = config::Mechanism::kOauthbearer;
  EXPECT_NE(asked(credential).find("Auth-Method: oauthbearer\r\n"), std::string::npos);
}

std::string outcome(const std::vector<std::string_view>& chunks) {
  AnswerParser parser;
  auto event = Event::kNeedMore;
  for (const auto chunk : chunks)
    if (event == Event::kNeedMore) event = parser.next(chunk);
  if (event == Event::kNeedMore) return "needs more";
  if (event == Event::kMalformed) return "malformed: " + parser.problem();
  const auto answer = parser.take();
  const char* verdicts[] = {"accepted", "refused", "unavailable", "ask again"};
  std::string out = verdicts[static_cast<size_t>(answer.verdict)];
  if (!answer.code.empty()) out += " [" + answer.code + "]";
  if (!answer.text.empty()) out += " " + answer.text;
  if (answer.server) out += " at " + answer.server->to_string();
  if (!answer.user.empty()) out += " as " + answer.user;
  if (!answer.password.empty()) out += " with " + std::string(answer.password.view());
  if (answer.wait) out += " in " + std::to_string(answer.wait->count()) + "ms";
  return out;
}

std::string parse(std::string_view input) {
  return wire::every_split(input, outcome);
}

std::string parse_headers(const std::string& headers) {
  return parse("HTTP/1.0 200 OK\r\n" + headers + "\r\nbody");
}

TEST(Answer, Accepts) {
  EXPECT_EQ(parse_headers("Auth-Status: OK\r\nAuth-Server: 198.51.100.1\r\nAuth-Port: 143\r\n"),
            "accepted at 198.51.100.1:143");
  EXPECT_EQ(parse_headers("Server: x\r\nAUTH-STATUS:ok\r\nAuth-User: bob smith \r\nAuth-Pass: p%20 w\r\n"),
            "accepted as bob smith with p%20 w")
      << "nothing is decoded";
  EXPECT_EQ(parse("HTTP/1.1 204 No Content\nAuth-Status: OK\n\n"), "accepted");
}

TEST(Answer, NamesServersInManyWays) {
  const auto at = [](const std::string& server, const std::string& port) {
    return parse_headers("Auth-Status: OK\r\n" + server + port);
  };
  EXPECT_EQ(at("Auth-Server: Mail7.Internal\r\n", ""), "accepted at mail7.internal:0");
  EXPECT_EQ(at("Auth-Server: 2001:db8::1\r\n", "Auth-Port: 143\r\n"), "accepted at [2001:db8::1]:143");
  EXPECT_EQ(at("Auth-Server: [2001:db8::1]\r\n", "Auth-Port: 143\r\n"), "accepted at [2001:db8::1]:143");
  for (const std::string server : {"a b", "a/b", "10.0.0.1:99:3", "unix:/x", ":", "[::1"})
    EXPECT_EQ(at("Auth-Server: " + server + "\r\n", "Auth-Port: 143\r\n"),
              "malformed: Auth-Server or Auth-Port is malformed")
        << server;
  for (const std::string port : {"imap", "143 ", "70000", "-1", "0x8f", "0"}) {
    const auto expected =
        port == "143 " ? "accepted at a:143" : "malformed: Auth-Server or Auth-Port is malformed";
    EXPECT_EQ(at("Auth-Server: a\r\n", "Auth-Port: " + port + "\r\n"), expected) << port;
  }
  EXPECT_EQ(at("", "Auth-Port: 143\r\n"), "malformed: Auth-Server or Auth-Port is malformed");
}

TEST(Answer, Refuses) {
  EXPECT_EQ(parse_headers("Auth-Status: Invalid login or password\r\nAuth-Wait: 3\r\n"),
            "refused Invalid login or password in 3000ms");
  EXPECT_EQ(parse("HTTP/1.0 401 Unauthorized\r\nAuth-Status: No\r\n\r\n"), "refused No")
      << "nginx looks at the header only";
  EXPECT_EQ(parse_headers("Auth-Status: [expired] Pass\xffword\r\n"), "refused [EXPIRED] Pass?word");
  EXPECT_EQ(parse_headers("Auth-Status: [what is this] No\r\n"), "refused [what is this] No");
  EXPECT_EQ(parse_headers("Auth-Status: [LIMIT]\r\n"), "refused [LIMIT] Authentication failed");
  EXPECT_EQ(parse_headers("Auth-Status: No\r\nAuth-Error-Code: 535 5.7.8\r\n"), "refused No");
  for (const std::string both :
       {"Auth-Status: No\r\nAuth-Status: OK\r\n", "Auth-Status: OK\r\nAuth-Status: No\r\n"})
    EXPECT_EQ(parse_headers(both), "refused No") << "so does nginx";
}

TEST(Answer, CannotSay) {
  EXPECT_EQ(parse_headers("Auth-Status: Temporary server problem\r\n"),
            "unavailable Temporary server problem");
  EXPECT_EQ(parse_headers("Auth-Status: Busy\r\nAuth-Error-Code: 451 4.3.0\r\n"), "unavailable Busy");
}

TEST(Answer, Waits) {
  EXPECT_EQ(parse_headers("Auth-Status: WAIT\r\nAuth-Wait: 2\r\n"), "ask again in 2000ms");
  EXPECT_EQ(parse_headers("Auth-Status: WAIT\r\n"), "ask again");
  EXPECT_EQ(parse_headers("Auth-Status: No\r\nAuth-Wait: 99999999999\r\n"), "refused No in 60000ms")
      << "a minute at most";
  for (const std::string wait : {"0", "-1", "soon", "1.5", "99999999999999999999999"})
    EXPECT_EQ(parse_headers("Auth-Status: No\r\nAuth-Wait: " + wait + "\r\n"), "refused No") << wait;
}

TEST(Answer, Malformed) {
  EXPECT_EQ(parse("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n"),
            "malformed: HTTP status 200, no Auth-Status");
  EXPECT_EQ(parse("HTTP/1.0 404 Not Found\r\n\r\n"), "malformed: HTTP status 404, no Auth-Status");
  EXPECT_EQ(parse("HTTP/1.0 404 Not Found\r\nAuth-Status: OK\r\n\r\n"), "malformed: HTTP status 404");
  EXPECT_EQ(parse("HTTP/1.0 302 Found\r\nAuth-Status: OK\r\n\r\n"), "malformed: HTTP status 302");
  EXPECT_EQ(parse("HTTP/1.1 503 No\r\nAuth-Status: Invalid\r\n\r\n"), "malformed: HTTP status 503");
  for (const std::string line : {"* OK ready", "HTTP/2 200", "HTTP/1.0 2OO OK", "HTTP/1.0", ""})
    EXPECT_EQ(parse(line + "\r\nAuth-Status: OK\r\n\r\n"), "malformed: it does not speak HTTP") << line;
  EXPECT_EQ(parse_headers("Auth-Status: OK\r\nAuth-User: a\x01"
                          "b\r\n"),
            "malformed: Auth-User is malformed");
  EXPECT_EQ(parse("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n"), "needs more");
  EXPECT_EQ(outcome({"HTTP/1.0 200 OK\r\n", std::string(AnswerParser::kMostOctets, 'x')}),
            "malformed: its headers are too large");
}

}  // namespace
}  // namespace imapmux::auth
