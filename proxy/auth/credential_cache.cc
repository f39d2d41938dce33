#include "auth/credential_cache.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace imapmux::auth {

namespace {

constexpr base::Millis kRefusedFor{60'000};
constexpr size_t kMostVerified = 64;
constexpr size_t kMostRefused = 256;

using Key = std::array<unsigned char, 32>;

void demand(bool fine) {
  if (!fine) throw std::runtime_error("OpenSSL cannot make the digest of a credential");
}

// Made once, and never written anywhere: digests mean nothing outside this process.
const Key& process_key() {
  static const Key key = [] {
    Key random{};
    demand(RAND_bytes(random.data(), static_cast<int>(random.size())) == 1);
    return random;
  }();
  return key;
}

struct FreeContext {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MAC_CTX, FreeContext>;

Context make_context() {
  const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> algorithm(EVP_MAC_fetch(nullptr, "HMAC", nullptr),
                                                                    EVP_MAC_free);
  demand(algorithm != nullptr);
  Context context(EVP_MAC_CTX_new(algorithm.get()));
  char hash[] = "SHA256";
  const std::array<OSSL_PARAM, 2> parameters{OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0),
                                             OSSL_PARAM_construct_end()};
  const Key& key = process_key();
  demand(context != nullptr && EVP_MAC_init(context.get(), key.data(), key.size(), parameters.data()) == 1);
  return context;
}

// HMAC-SHA256 of a row of texts, each behind its length, so that no two rows are the same octets. Takes them
// from where they stand: no copy of a secret is made but in OpenSSL's state, which wipes itself. That state
// is each thread's own and is used again: to look up the algorithms costs more than the digest.
class Hmac {
 public:
  Hmac() {
    thread_local const Context keyed = make_context();
    context_ = keyed.get();
    demand(EVP_MAC_init(context_, nullptr, 0, nullptr) == 1);  // anew, with the same key
  }

  void add(std::string_view text) {
    std::array<unsigned char, 8> length{};
    for (size_t i = 0; i < length.size(); ++i)
      length[i] = static_cast<unsigned char>(uint64_t{text.size()} >> (8 * i));
    update(length.data(), length.size());
    update(reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }

  CredentialCache::Digest finish() {
    CredentialCache::Digest digest{};
    size_t size = 0;
    demand(EVP_MAC_final(context_, digest.data(), &size, digest.size()) == 1 && size == digest.size());
    return digest;
  }

 private:
  void update(const unsigned char* octets, size_t count) {
    demand(EVP_MAC_update(context_, octets, count) == 1);
  }

  EVP_MAC_CTX* context_;
};

// What the backend is shown is the same for all mechanisms with passwords.
std::string_view kind_of(config::Mechanism mechanism) {
  switch (mechanism) {
    case config::Mechanism::kLogin:
    case config::Mechanism::kPlain:
    case config::Mechanism::kAuthLogin:
      return "password";
    case config::Mechanism::kXoauth2:
      return "XOAUTH2";
    case config::Mechanism::kOauthbearer:
      return "OAUTHBEARER";
  }
  return "";
}

}  // namespace

CredentialCache::Digest CredentialCache::digest(const Credential& credential) {
  const bool for_itself = credential.authorization_id == credential.authentication_id;
  Hmac hmac;
  hmac.add(kind_of(credential.mechanism));
  hmac.add(credential.authentication_id);
  hmac.add(for_itself ? std::string_view() : credential.authorization_id);
  hmac.add(credential.secret.view());
  return hmac.finish();
}

CredentialCache::Answer CredentialCache::look_up(const Digest& digest, base::Instant now) const {
  const Entry* accepted = find(verified_, digest);
  if (accepted != nullptr && now - accepted->since < ttl_) return Answer::kVerified;
  const Entry* wrong = find(refused_, digest);
  if (wrong != nullptr && now - wrong->since < kRefusedFor) return Answer::kRefused;
  return Answer::kUnknown;
}

void CredentialCache::verified(const Digest& digest, base::Instant now) {
  drop(refused_, digest);
  remember(verified_, digest, now, kMostVerified);
}

void CredentialCache::refused(const Digest& digest, base::Instant now) {
  drop(verified_, digest);
  remember(refused_, digest, now, kMostRefused);
}

void CredentialCache::forget(const Digest& digest) {
  drop(verified_, digest);
  drop(refused_, digest);
}

bool CredentialCache::any_verified(base::Instant now) const {
  return !verified_.empty() && now - verified_.back().since < ttl_;
}

// Compares in constant time: how far a digest agrees tells nothing.
const CredentialCache::Entry* CredentialCache::find(const Entries& entries, const Digest& digest) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
    return CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0;
  });
  return found == entries.end() ? nullptr : &*found;
}

void CredentialCache::remember(Entries& entries, const Digest& digest, base::Instant now, size_t most) {
  drop(entries, digest);
  if (entries.size() >= most) entries.erase(entries.begin());
  entries.push_back({digest, now});
}

void CredentialCache::drop(Entries& entries, const Digest& digest) {
  const Entry* entry = find(entries, digest);
  if (entry != nullptr) entries.erase(entries.begin() + (entry - entries.data()));
}

}  // namespace imapmux::auth
