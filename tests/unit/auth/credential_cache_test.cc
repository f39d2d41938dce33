#include "auth/credential_cache.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

namespace imapmux::auth {
namespace {

using base::Instant;
using base::Millis;
using config::Mechanism;
using Answer = CredentialCache::Answer;
using Digest = CredentialCache::Digest;

constexpr Millis kTtl{300'000};
constexpr Instant kNow{Millis(1'000'000)};

Digest digest(Mechanism mechanism, std::string user, std::string acts_for, std::string secret) {
  Credential credential;
  credential.mechanism = mechanism;
  credential.authentication_id = std::move(user);
  credential.authorization_id = std::move(acts_for);
  credential.secret = base::Secret(std::move(secret));
  return CredentialCache::digest(credential);
}

Digest password(std::string user, std::string secret) {
  return digest(Mechanism::kPlain, std::move(user), "", std::move(secret));
}

TEST(CredentialDigest, APasswordIsOneProofHoweverItComes) {
  const Digest proof = digest(Mechanism::kLogin, "bob", "", "secret");
  EXPECT_EQ(proof, digest(Mechanism::kPlain, "bob", "", "secret"));
  EXPECT_EQ(proof, digest(Mechanism::kAuthLogin, "bob", "", "secret"));
  EXPECT_EQ(proof, digest(Mechanism::kPlain, "bob", "bob", "secret"));  // acts for itself
}

TEST(CredentialDigest, WhatDiffersIsAnotherProof) {
  const std::set<Digest> proofs{
      password("bob", "secret"),
      password("Bob", "secret"),
      password("bob", "Secret"),
      password("bob", ""),
      password("bob", std::string("secret\0", 7)),
      digest(Mechanism::kPlain, "bob", "ann", "secret"),
      digest(Mechanism::kPlain, "ann", "bob", "secret"),
      digest(Mechanism::kXoauth2, "bob", "", "secret"),
      digest(Mechanism::kOauthbearer, "bob", "", "secret"),
  };
  EXPECT_EQ(9U, proofs.size());
}

TEST(CredentialDigest, WhereOneTextEndsMatters) {
  EXPECT_NE(password("ab", "c"), password("a", "bc"));
  EXPECT_NE(password("abc", ""), password("", "abc"));
  EXPECT_NE(digest(Mechanism::kPlain, "a", "bc", "d"), digest(Mechanism::kPlain, "ab", "c", "d"));
  EXPECT_NE(digest(Mechanism::kPlain, "a", "b", "cd"), digest(Mechanism::kPlain, "a", "bc", "d"));
  EXPECT_NE(digest(Mechanism::kPlain, "a", "b", "c"), digest(Mechanism::kPlain, "a", "", "bc"));
  EXPECT_NE(password(std::string("a\0b", 3), "c"), password("a", std::string("b\0c", 3)));
}

TEST(CredentialDigest, IsTheSameOnAllThreads) {
  std::vector<Digest> digests(8);
  std::vector<std::thread> threads;
  for (Digest& one : digests) threads.emplace_back([&one] { one = password("bob", "secret"); });
  for (std::thread& thread : threads) thread.join();
  for (const Digest& one : digests) EXPECT_EQ(password("bob", "secret"), one);
}

TEST(CredentialCache, KnowsNothingAtFirst) {
  const CredentialCache cache(kTtl);
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "secret"), kNow));
  EXPECT_FALSE(cache.any_verified(kNow));
}

TEST(CredentialCache, BelievesForItsTime) {
  CredentialCache cache(kTtl);
  cache.verified(password("bob", "secret"), kNow);
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "secret"), kNow));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "wrong"), kNow));
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "secret"), kNow + kTtl - Millis(1)));
  EXPECT_TRUE(cache.any_verified(kNow + kTtl - Millis(1)));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "secret"), kNow + kTtl));
  EXPECT_FALSE(cache.any_verified(kNow + kTtl));
}

TEST(CredentialCache, ABackendLoginRenews) {
  CredentialCache cache(kTtl);
  cache.verified(password("bob", "secret"), kNow);
  cache.verified(password("bob", "app"), kNow + Millis(1));
  cache.verified(password("bob", "secret"), kNow + kTtl - Millis(1));
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "secret"), kNow + kTtl));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "app"), kNow + kTtl + Millis(1)));
  EXPECT_TRUE(cache.any_verified(kNow + kTtl + Millis(1)));
}

TEST(CredentialCache, ZeroTurnsItOff) {
  CredentialCache cache(Millis(0));
  cache.verified(password("bob", "secret"), kNow);
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "secret"), kNow));
  EXPECT_FALSE(cache.any_verified(kNow));
  cache.refused(password("bob", "wrong"), kNow);
  EXPECT_EQ(Answer::kRefused, cache.look_up(password("bob", "wrong"), kNow));
}

TEST(CredentialCache, AShorterTimeHoldsForWhatIsKnown) {
  CredentialCache cache(kTtl);
  cache.verified(password("bob", "secret"), kNow);
  cache.set_ttl(Millis(0));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "secret"), kNow));
}

TEST(CredentialCache, RefusalsAreForgottenAfterAMinute) {
  CredentialCache cache(kTtl);
  cache.refused(password("bob", "wrong"), kNow);
  EXPECT_EQ(Answer::kRefused, cache.look_up(password("bob", "wrong"), kNow + Millis(59'999)));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "wrong"), kNow + Millis(60'000)));
}

TEST(CredentialCache, TheLastWordCounts) {
  CredentialCache cache(kTtl);
  cache.verified(password("bob", "secret"), kNow);
  cache.refused(password("bob", "secret"), kNow);  // the password was changed
  EXPECT_EQ(Answer::kRefused, cache.look_up(password("bob", "secret"), kNow));
  EXPECT_FALSE(cache.any_verified(kNow));
  cache.verified(password("bob", "secret"), kNow);
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "secret"), kNow));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "secret"), kNow + kTtl));  // not the old refusal
}

TEST(CredentialCache, Forgets) {
  CredentialCache cache(kTtl);
  cache.verified(password("bob", "secret"), kNow);
  cache.refused(password("bob", "wrong"), kNow);
  cache.forget(password("bob", "secret"));
  cache.forget(password("bob", "wrong"));
  cache.forget(password("bob", "unknown"));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "secret"), kNow));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "wrong"), kNow));
}

TEST(CredentialCache, TheOldestGoWhenThereIsNoRoom) {
  CredentialCache cache(kTtl);
  for (int i = 0; i < 64; ++i) cache.verified(password("bob", std::to_string(i)), kNow);
  cache.verified(password("bob", "0"), kNow);  // now 1 is the oldest
  cache.verified(password("bob", "64"), kNow);
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "0"), kNow));
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "1"), kNow));
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "2"), kNow));

  for (int i = 0; i < 10'000; ++i) cache.refused(password("bob", "x" + std::to_string(i)), kNow);
  EXPECT_EQ(Answer::kUnknown, cache.look_up(password("bob", "x9743"), kNow));
  EXPECT_EQ(Answer::kRefused, cache.look_up(password("bob", "x9744"), kNow));
  EXPECT_EQ(Answer::kVerified, cache.look_up(password("bob", "64"), kNow));  // guessing pushes nobody out
}

}  // namespace
}  // namespace imapmux::auth
