#include "net/tls_facts.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <memory>

namespace imapmux::net {
namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};

// What `print` writes.
template <class Print>
std::string printed(Print print) {
  const std::unique_ptr<BIO, FreeBio> bio(BIO_new(BIO_s_mem()));
  if (!bio) return {};
  print(bio.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

std::string name_of(const X509_NAME* name) {
  return printed([name](BIO* out) { X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253); });
}

std::string fingerprint_of(const X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  std::string text;
  if (X509_digest(&certificate, EVP_sha1(), digest.data(), &size) != 1) return text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace

TlsFacts facts_of(const ssl_st& session) {
  TlsFacts facts{.protocol = SSL_get_version(&session), .cipher = SSL_get_cipher_name(&session), .peer = {}};
  const std::unique_ptr<X509, FreeX509> shown(SSL_get1_peer_certificate(&session));
  if (!shown || SSL_get_verify_result(&session) != X509_V_OK) return facts;
  const auto* serial = X509_get0_serialNumber(shown.get());
  facts.peer = CertificateFacts{.subject = name_of(X509_get_subject_name(shown.get())),
                                .issuer = name_of(X509_get_issuer_name(shown.get())),
                                .serial = printed([serial](BIO* out) { i2a_ASN1_INTEGER(out, serial); }),
                                .fingerprint = fingerprint_of(*shown)};
  return facts;
}

}  // namespace imapmux::net
