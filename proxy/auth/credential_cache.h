// Which credentials a backend has accepted or refused lately, so that it is not asked again for each login of
// a client. An account owns one, on its worker's thread; it lives as long as the account and has no clock of
// its own. No secret is kept: credentials are known by their digests. Memory is bounded: 64 accepted ones,
// 256 refused ones; beyond that the oldest are forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "auth/sasl.h"
#include "base/time.h"

namespace imapmux::auth {

class CredentialCache {
 public:
  // What credentials are compared by: HMAC-SHA256, under a random key that only this process has, of who
  // proves what, and how.
  using Digest = std::array<uint8_t, 32>;
  enum class Answer : uint8_t { kVerified, kRefused, kUnknown };

  // An accepted credential is believed for `ttl` after verified(); 0: never.
  explicit CredentialCache(base::Millis ttl) : ttl_(ttl) {}

  // The same user's password is one proof, whether it came by LOGIN, AUTHENTICATE PLAIN or AUTHENTICATE
  // LOGIN; a token is one for its own mechanism only. An authorization identity that equals the
  // authentication identity is none. Names are compared octet by octet. Any thread; throws std::runtime_error
  // if OpenSSL fails.
  static Digest digest(const Credential& credential);

  Answer look_up(const Digest& digest, base::Instant now) const;
  // The backend has accepted it (again): the time begins anew.
  void verified(const Digest& digest, base::Instant now);
  // The backend has refused it as wrong: remembered for 60 s, whatever the `ttl`. It counts as accepted no
  // longer.
  void refused(const Digest& digest, base::Instant now);
  void forget(const Digest& digest);
  bool any_verified(base::Instant now) const;
  // After a reload; also for what is known already.
  void set_ttl(base::Millis ttl) { ttl_ = ttl; }

 private:
  struct Entry {
    Digest digest;
    base::Instant since;
  };
  using Entries = std::vector<Entry>;  // the oldest first

  static const Entry* find(const Entries& entries, const Digest& digest);
  static void remember(Entries& entries, const Digest& digest, base::Instant now, size_t most);
  static void drop(Entries& entries, const Digest& digest);

  base::Millis ttl_;
  Entries verified_;
  Entries refused_;
};

}  // namespace imapmux::auth
