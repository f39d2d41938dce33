// Logging in: which mechanism, what goes over the wire, how a refusal is understood.
#include "unit/backend/harness.h"

namespace imapmux::backend {
namespace {

using config::LoginMechanism;
using config::Mechanism;

constexpr std::string_view kSaslIr = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x\r\n";

auth::Credential credential(std::string secret, Mechanism mechanism = Mechanism::kLogin,
                            std::string authorization_id = "") {
  auth::Credential made;
  made.mechanism = mechanism;
  made.authentication_id = "bob";
  made.authorization_id = std::move(authorization_id);
  made.secret = base::Secret(std::move(secret));
  return made;
}

// The message of AUTHENTICATE PLAIN, decoded, with | for NUL.
std::string plain_message(std::string_view base64) {
  const auto message = auth::decode_base64(base64);
  if (!message) return "no base64: " + std::string(base64);
  std::string text(message->view());
  for (char& c : text)
    if (c == '\0') c = '|';
  return text;
}

struct BackendLoginTest : testing::Test {
  config::Backend backend;
  Harness h;
  void log_in(auth::Credential with, std::string name = "bob") {
    h.log_in(backend, std::move(with), std::move(name));
  }
};

TEST_F(BackendLoginTest, LoginIsTheFirstChoiceAndQuotesWhatItMust) {
  h.greeted("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x\r\n");
  log_in(credential("a \"b\" \\c{5}\r*"), "bob smith");
  EXPECT_EQ(h.written(), "m1 LOGIN \"bob smith\" {13}\r\n") << "CR can't be quoted";
  h.say("+ go\r\n");
  EXPECT_EQ(h.written(), "a \"b\" \\c{5}\r*\r\n");
}

TEST_F(BackendLoginTest, QuotesAndBackslashesAreEscaped) {
  h.greeted();
  log_in(credential("a \"b\" \\c{5}"));
  EXPECT_EQ(h.written(), "m1 LOGIN \"bob\" \"a \\\"b\\\" \\\\c{5}\"\r\n");
}

TEST_F(BackendLoginTest, TheEmptyPasswordAndWhatLooksLikeAnAtomAreQuoted) {
  h.greeted();
  log_in(credential(""), "NIL");
  EXPECT_EQ(h.written(), "m1 LOGIN \"NIL\" \"\"\r\n");
}

TEST_F(BackendLoginTest, PasswordsBeyondAsciiAndLongOnesAreLiterals) {
  h.greeted("* OK [CAPABILITY IMAP4rev1 LITERAL+] x\r\n");
  log_in(credential("gr\xc3\xbc\xc3\x9f"), "bj\xc3\xb6rn");
  EXPECT_EQ(h.written(), "m1 LOGIN {6+}\r\nbj\xc3\xb6rn {6+}\r\ngr\xc3\xbc\xc3\x9f\r\n");
  h.say("m1 NO no\r\n");
  const std::string token(2'000, 'x');
  log_in(credential(token));
  EXPECT_EQ(h.written(), "m2 LOGIN \"bob\" {2000+}\r\n" + token + "\r\n");
}

TEST_F(BackendLoginTest, APasswordCannotSmuggleACommandIn) {
  h.greeted();
  log_in(credential("x\r\nm2 DELETE INBOX"));
  EXPECT_EQ(h.written(), "m1 LOGIN \"bob\" {18}\r\n");
  h.say("m1 NO no literals here\r\n");
  EXPECT_EQ(h.written(), "");
  EXPECT_EQ(h.take_log(), "refused: NO no literals here\n");
}

TEST_F(BackendLoginTest, WhereLoginIsDisabledPlainIsUsed) {
  h.greeted("* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN SASL-IR] x\r\n");
  log_in(credential("secret"));
  const auto line = h.written();
  ASSERT_TRUE(line.starts_with("m1 AUTHENTICATE PLAIN ")) << line;
  EXPECT_EQ(plain_message(line.substr(22, line.size() - 24)), "|bob|secret");
}

TEST_F(BackendLoginTest, WithoutSaslIrTheMessageWaitsForTheGoAhead) {
  backend.mechanism = LoginMechanism::kPlain;
  h.greeted("* OK [CAPABILITY IMAP4rev1] x\r\n");
  log_in(credential("secret"));
  EXPECT_EQ(h.written(), "m1 AUTHENTICATE PLAIN\r\n");
  h.say("+ \r\n");
  const auto line = h.written();
  EXPECT_EQ(plain_message(line.substr(0, line.size() - 2)), "|bob|secret");
  h.say("m1 OK [CAPABILITY IMAP4rev1 MOVE] in\r\n");
  EXPECT_EQ(h.take_log(), "accepted: OK [CAPABILITY IMAP4rev1 MOVE] in\n");
}

TEST_F(BackendLoginTest, AnAuthorizationIdentityNeedsPlain) {
  h.greeted(std::string(kSaslIr));
  log_in(credential("secret", Mechanism::kPlain, "alice"), "alice@old");
  const auto line = h.written();
  ASSERT_TRUE(line.starts_with("m1 AUTHENTICATE PLAIN ")) << line;
  EXPECT_EQ(plain_message(line.substr(22, line.size() - 24)), "alice@old|bob|secret");
}

TEST_F(BackendLoginTest, AnAuthorizationIdentityOfItsOwnNeedsNothing) {
  h.greeted(std::string(kSaslIr));
  log_in(credential("secret", Mechanism::kPlain, "bob"));
  EXPECT_EQ(h.written(), "m1 LOGIN \"bob\" \"secret\"\r\n");
}

TEST_F(BackendLoginTest, APlainServerThatAsksTwiceIsToldToStop) {
  backend.mechanism = LoginMechanism::kPlain;
  h.greeted(std::string(kSaslIr));
  log_in(credential("secret"));
  h.written();
  h.say("+ what?\r\n");
  EXPECT_EQ(h.written(), "*\r\n");
  h.say("m1 BAD cancelled\r\n");
  EXPECT_EQ(h.take_log(), "refused: BAD cancelled\n");
}

TEST_F(BackendLoginTest, ARefusedMechanismIsNotFollowedByThePassword) {
  backend.mechanism = LoginMechanism::kPlain;
  h.greeted();
  log_in(credential("secret"));
  EXPECT_EQ(h.written(), "m1 AUTHENTICATE PLAIN\r\n");
  h.say("m1 NO unsupported\r\n");
  EXPECT_EQ(h.written(), "");
  EXPECT_EQ(h.take_log(), "refused: NO unsupported\n");
}

TEST_F(BackendLoginTest, ATokenGoesByXoauth2AndTheChallengeOfARefusalIsKept) {
  h.greeted(std::string(kSaslIr));
  log_in(credential("token", Mechanism::kXoauth2));
  const auto line = h.written();
  ASSERT_TRUE(line.starts_with("m1 AUTHENTICATE XOAUTH2 ")) << line;
  const auto message = auth::decode_base64(line.substr(24, line.size() - 26));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->view(),
            "user=bob\x01"
            "auth=Bearer token\x01\x01");
  h.say("+ eyJzdGF0dXMiOiI0MDEifQ==\r\n");
  EXPECT_EQ(h.written(), "\r\n") << "an empty answer to the error";
  h.say("m1 NO [AUTHENTICATIONFAILED] no\r\n");
  EXPECT_EQ(h.take_log(), "refused: NO [AUTHENTICATIONFAILED] no challenge eyJzdGF0dXMiOiI0MDEifQ==\n");
}

TEST_F(BackendLoginTest, WithoutSaslIrTheFirstGoAheadOfXoauth2IsNoChallenge) {
  h.greeted();
  log_in(credential("token", Mechanism::kXoauth2));
  EXPECT_EQ(h.written(), "m1 AUTHENTICATE XOAUTH2\r\n");
  h.say("+ begin\r\n");
  EXPECT_NE(h.written(), "");
  h.say("m1 NO no\r\n");
  EXPECT_EQ(h.take_log(), "refused: NO no\n");
}

TEST_F(BackendLoginTest, OauthbearerAnswersTheErrorWithItsOwnEmptyMessage) {
  h.greeted(std::string(kSaslIr));
  log_in(credential("token", Mechanism::kOauthbearer));
  EXPECT_TRUE(h.written().starts_with("m1 AUTHENTICATE OAUTHBEARER "));
  h.say("+ eyJ9\r\n");
  EXPECT_EQ(h.written(), "AQ==\r\n");
  h.say("m1 NO no\r\n");
  EXPECT_EQ(h.take_log(), "refused: NO no challenge eyJ9\n");
}

TEST_F(BackendLoginTest, TheMasterUserActsForTheUser) {
  backend.master_user = "proxy";
  backend.master_password = base::Secret("master");
  h.greeted(std::string(kSaslIr));
  h.log_in_as_master(backend, "bob");
  const auto line = h.written();
  ASSERT_TRUE(line.starts_with("m1 AUTHENTICATE PLAIN ")) << line;
  EXPECT_EQ(plain_message(line.substr(22, line.size() - 24)), "bob|proxy|master");
  h.say("m1 OK [CAPABILITY IMAP4rev1] in\r\n");
  EXPECT_EQ(h.take_log(), "accepted: OK [CAPABILITY IMAP4rev1] in\n");
}

TEST_F(BackendLoginTest, TheCapabilitiesAreThoseAfterLogin) {
  h.greeted("* OK [CAPABILITY IMAP4rev1 BEFORE] x\r\n");
  log_in(credential("secret"));
  h.written();
  h.say("m1 OK [CAPABILITY IMAP4rev1 AFTER] in\r\n* 1 EXISTS\r\n");
  EXPECT_EQ(h.written(), "") << "nothing needs to be asked";
  EXPECT_TRUE(h.connection->capabilities().has("AFTER"));
  EXPECT_FALSE(h.connection->capabilities().has("BEFORE"));
  EXPECT_EQ(h.take_log(), "accepted: OK [CAPABILITY IMAP4rev1 AFTER] in\n");
  EXPECT_EQ(h.connection->take_rest(), "* 1 EXISTS\r\n") << "for a relay";
}

TEST_F(BackendLoginTest, CapabilitiesThatWereNotToldAreAskedForAndParsingStopsBehindThem) {
  h.greeted("* OK [CAPABILITY IMAP4rev1 BEFORE] x\r\n");
  log_in(credential("secret"));
  h.written();
  h.say("m1 OK in\r\n");
  EXPECT_EQ(h.written(), "m2 CAPABILITY\r\n");
  h.say("* CAPABILITY IMAP4rev1 AFTER\r\nm2 OK done\r\n* 1 EXISTS\r\n");
  EXPECT_TRUE(h.connection->capabilities().has("AFTER"));
  EXPECT_EQ(h.take_log(), "accepted: OK in\n");
  EXPECT_EQ(h.connection->take_rest(), "* 1 EXISTS\r\n");
}

TEST_F(BackendLoginTest, AfterARefusalTheConnectionGoesOn) {
  h.greeted();
  log_in(credential("wrong"));
  h.say("m1 NO [AUTHENTICATIONFAILED] no\r\n* OK still here\r\n");
  EXPECT_EQ(h.take_log().find("untagged <* OK still here>\n"), 0U);
  log_in(credential("right"));
  EXPECT_EQ(h.written(), "m1 LOGIN \"bob\" \"wrong\"\r\nm2 LOGIN \"bob\" \"right\"\r\n");
  h.say("m2 OK [CAPABILITY IMAP4rev1] in\r\n");
  EXPECT_EQ(h.take_log(), "accepted: OK [CAPABILITY IMAP4rev1] in\n");
}

TEST_F(BackendLoginTest, AServerThatSaysByeToALoginIsLost) {
  h.greeted();
  log_in(credential("wrong"));
  h.take_log();
  h.say("* BYE too many failures\r\n");
  EXPECT_NE(h.take_log().find("login failed: the server said BYE: too many failures\n"), std::string::npos);
}

TaggedReply refusal(std::string code, std::string text) {
  return {.status = wire::ResponseName::kNo,
          .code = std::move(code),
          .code_arguments = "",
          .text = std::move(text)};
}

TEST(ClassifyRefusalTest, ServersThatHaveNoPlaceLeftRefuseNobodysPassword) {
  // Dovecot, RFC 5530, Cyrus, Courier, Gmail.
  EXPECT_EQ(classify_refusal(refusal("LIMIT", "Maximum number of connections from user+IP exceeded")),
            LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("UNAVAILABLE", "Temporary authentication failure")),
            LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("INUSE", "in use")), LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("SERVERBUG", "oops")), LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("", "Too many open connections (2 of 2 for user1)")),
            LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("", "Maximum Number Of Connections reached")), LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("", "connection limit reached")), LoginVerdict::kNoSlot);
  EXPECT_EQ(classify_refusal(refusal("ALERT", "Too many simultaneous connections. (Failure)")),
            LoginVerdict::kNoSlot);
}

TEST(ClassifyRefusalTest, EverythingElseIsARefusal) {
  EXPECT_EQ(classify_refusal(refusal("", "LOGIN failed")), LoginVerdict::kRefused);
  EXPECT_EQ(classify_refusal(refusal("", "")), LoginVerdict::kRefused);
  EXPECT_EQ(classify_refusal(refusal("AUTHENTICATIONFAILED", "Authentication failed.")),
            LoginVerdict::kRefused);
  EXPECT_EQ(classify_refusal(refusal("AUTHENTICATIONFAILED", "too many failures")), LoginVerdict::kRefused)
      << "the code counts, not the words";
  EXPECT_EQ(classify_refusal(refusal("AUTHORIZATIONFAILED", "no")), LoginVerdict::kRefused);
  EXPECT_EQ(classify_refusal(refusal("EXPIRED", "password expired")), LoginVerdict::kRefused);
  EXPECT_EQ(classify_refusal(refusal("ALERT", "Invalid credentials (Failure)")), LoginVerdict::kRefused);
}

}  // namespace
}  // namespace imapmux::backend
