#include "auth/sasl.h"

#include <gtest/gtest.h>

#include <random>

namespace imapmux::auth {
namespace {

using config::Mechanism;
using std::string_literals::operator""s;

// "mechanism-independent" text of a credential: authorization/authentication/secret.
std::string shown(const std::optional<Credential>& credential) {
  if (!credential) return "nothing";
  return credential->authorization_id + "/" + credential->authentication_id + "/" +
         std::string(credential->secret.view());
}

std::string decoded(std::string_view text) {
  const auto secret = decode_base64(text);
  return secret ? std::string(secret->view()) : "nothing";
}

// RFC 4648, 10.
TEST(Base64, TestVectors) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(encoded, encode_base64(plain));
    EXPECT_EQ(plain, decoded(encoded));
  }
}

TEST(Base64, IsStrict) {
  for (const std::string_view text :
       {"=",        "A",     "AA",    "AAA",  "AAAAA", "Zg=",    "Zg===", "Zg==Zg==", "Z===", "====",
        "Zm9v\r\n", " Zm9v", "Zm 9v", "Zm9-", "Zm9_",  "Zg==\n", "Zm=v",  "Zh==",     "Zm9=", "A=AA"}) {
    EXPECT_EQ("nothing", decoded(text)) << text;
  }
  EXPECT_EQ("nothing", decoded("Zm9\xff"));
  EXPECT_EQ("nothing", decoded("Zm\0v"s));
}

TEST(Base64, RoundTrips) {
  std::mt19937 random(1);
  for (size_t length = 0; length < 300; ++length) {
    std::string octets(length, '\0');
    for (char& c : octets) c = static_cast<char>(random());
    EXPECT_EQ(octets, decoded(encode_base64(octets)));
  }
}

TEST(Plain, Parses) {
  EXPECT_EQ("/bob/secret", shown(parse_plain("\0bob\0secret"s)));
  EXPECT_EQ("bob/master/secret", shown(parse_plain("bob\0master\0secret"s)));
  EXPECT_EQ("/b o b/s=e,c\x01ret", shown(parse_plain("\0b o b\0s=e,c\x01ret"s)));
  EXPECT_EQ("bob", parse_plain("bob\0master\0secret"s)->user());
  EXPECT_EQ("bob", parse_plain("\0bob\0secret"s)->user());
  EXPECT_EQ(Mechanism::kPlain, parse_plain("\0bob\0secret"s)->mechanism);
}

TEST(Plain, Refuses) {
  for (const std::string& message : {""s, "bob"s, "\0"s, "\0bob"s, "\0bob\0"s, "\0\0secret"s,
                                     "bob\0\0secret"s, "\0bob\0sec\0ret"s, "\0bob\0secret\0"s, "\0\0\0"s}) {
    EXPECT_EQ("nothing", shown(parse_plain(message)));
  }
  EXPECT_EQ("nothing", shown(parse_plain("\0bob\0"s + std::string(8192, 'x'))));
  EXPECT_NE("nothing", shown(parse_plain("\0bob\0"s + std::string(8192 - 5, 'x'))));
}

TEST(Xoauth2, Parses) {
  const auto credential = parse_xoauth2("user=bob@x.org\1auth=Bearer ya29.vF9=\1\1");
  EXPECT_EQ("/bob@x.org/ya29.vF9=", shown(credential));
  EXPECT_EQ(Mechanism::kXoauth2, credential->mechanism);
  EXPECT_EQ("/bob/t", shown(parse_xoauth2("user=bob\1auth=bearer t\1\1")));
}

TEST(Xoauth2, Refuses) {
  for (const std::string& message :
       {""s, "user=bob"s, "user=\1auth=Bearer t\1\1"s, "bob\1auth=Bearer t\1\1"s,
        "user=bob\1auth=Bearer t\1"s, "user=bob\1auth=Bearer t"s, "user=bob\1auth=Bearer \1\1"s,
        "user=bob\1auth=Basic t\1\1"s, "user=bob\1\1"s, "user=bob\1auth=Bearer a b\1\1"s,
        "user=bob\1auth=Bearer t\1\1x"s, "user=bob\1auth=Bearer t\1auth=Bearer u\1\1"s,
        "user=bob\1auth=Bearer a\r\n\1\1"s}) {
    EXPECT_EQ("nothing", shown(parse_xoauth2(message))) << message;
  }
}

// RFC 7628, 4.1.
TEST(Oauthbearer, Parses) {
  const auto credential = parse_oauthbearer(
      "n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer "
      "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1");
  EXPECT_EQ("/user@example.com/vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", shown(credential));
  EXPECT_EQ(Mechanism::kOauthbearer, credential->mechanism);
  EXPECT_EQ("/a,b=c/t", shown(parse_oauthbearer("y,a=a=2Cb=3Dc,\1auth=Bearer t\1\1")));
}

TEST(Oauthbearer, Refuses) {
  for (const std::string& message :
       {""s, "n,,\1auth=Bearer t\1\1"s, "n,a=,\1auth=Bearer t\1\1"s, "n,a=bob\1auth=Bearer t\1\1"s,
        "p=tls-unique,a=bob,\1auth=Bearer t\1\1"s, "n,a=b=2cc,\1auth=Bearer t\1\1"s,
        "n,a=b=,\1auth=Bearer t\1\1"s, "n,a=bob,\1host=x\1\1"s, "n,a=bob,\1auth\1\1"s,
        "n,a=bob,\1=x\1auth=Bearer t\1\1"s, "n,a=bob,x\1auth=Bearer t\1\1"s, "n,a=bob,\1auth=Bearer t\1"s,
        "n,a=bob,\1"s, "a=bob,\1auth=Bearer t\1\1"s}) {
    EXPECT_EQ("nothing", shown(parse_oauthbearer(message))) << message;
  }
}

TEST(Compose, Plain) {
  const auto own = parse_plain("\0bob@x\0secret"s);
  EXPECT_EQ("\0bob\0secret"s, compose_plain(*own, "bob").view());
  const auto same = parse_plain("bob@x\0bob@x\0secret"s);
  EXPECT_EQ("\0bob\0secret"s, compose_plain(*same, "bob").view());
  const auto other = parse_plain("bob@x\0master\0secret"s);
  EXPECT_EQ("bob\0master\0secret"s, compose_plain(*other, "bob").view());
}

TEST(Compose, OauthRoundTrips) {
  const auto xoauth2 = parse_xoauth2("user=bob@x\1auth=Bearer tok\1\1");
  EXPECT_EQ("user=bob\1auth=Bearer tok\1\1", compose_xoauth2(*xoauth2, "bob").view());
  const auto bearer = parse_oauthbearer("n,a=bob@x,\1auth=Bearer tok\1\1");
  const base::Secret composed = compose_oauthbearer(*bearer, "a,b=c");
  EXPECT_EQ("n,a=a=2Cb=3Dc,\1auth=Bearer tok\1\1", composed.view());
  EXPECT_EQ("/a,b=c/tok", shown(parse_oauthbearer(composed.view())));
}

TEST(Credential, Clones) {
  const auto credential = parse_plain("bob\0master\0secret"s);
  const Credential copy = credential->clone();
  EXPECT_EQ("bob/master/secret", shown(copy.clone()));
  EXPECT_EQ(Mechanism::kPlain, copy.mechanism);
  EXPECT_EQ("secret", credential->secret.view());
}

// Whatever arrives: something or nothing, and never beyond the ends (the sanitizers look).
TEST(Parsers, RandomMessages) {
  std::mt19937 random(7);
  const std::string alphabet = "\0\1=,naBearer user=auth2C3D"s;
  for (int i = 0; i < 20'000; ++i) {
    std::string message(random() % 40, '\0');
    for (char& c : message) c = alphabet[random() % alphabet.size()];
    if (i % 2 == 0) message.insert(0, "n,a=");
    parse_plain(message);
    parse_xoauth2(message);
    parse_oauthbearer(message);
    decode_base64(message);
  }
}

}  // namespace
}  // namespace imapmux::auth
