#include "net/tls_context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "base/bytes.h"

namespace imapmux::net {
namespace {

constexpr size_t kTicketKeys = 80;  // OpenSSL 3: name, HMAC key, AES key

int version_of(TlsFloor floor) {
  switch (floor) {
    case TlsFloor::kTls10:
      return TLS1_VERSION;
    case TlsFloor::kTls11:
      return TLS1_1_VERSION;
    case TlsFloor::kTls12:
      return TLS1_2_VERSION;
    case TlsFloor::kTls13:
      return TLS1_3_VERSION;
  }
  return TLS1_2_VERSION;
}

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + tls_errors());
}

// Each puts something into a context; what is wrong with it, empty if nothing is.
std::string use_certificate(SSL_CTX* context, const std::string& file) {
  if (SSL_CTX_use_certificate_chain_file(context, file.c_str()) == 1) return {};
  return file + ": " + tls_errors();
}

std::string use_key(SSL_CTX* context, const std::string& file, const std::string& certificate) {
  // An encrypted key is an error; OpenSSL's default is to ask on the terminal.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  const bool loaded = SSL_CTX_use_PrivateKey_file(context, file.c_str(), SSL_FILETYPE_PEM) == 1;
  if (loaded && SSL_CTX_check_private_key(context) == 1) return {};
  const auto why = tls_errors();
  const bool other = why.find("mismatch") != std::string::npos;
  return other ? file + " does not belong to " + certificate + ": " + why : file + ": " + why;
}

std::string use_authorities(SSL_CTX* context, const std::string& file) {
  const int loaded = file.empty() ? SSL_CTX_set_default_verify_paths(context)
                                  : SSL_CTX_load_verify_locations(context, file.c_str(), nullptr);
  if (loaded == 1) return {};
  return (file.empty() ? "the system's certificates" : file) + ": " + tls_errors();
}

std::string use_ciphers(SSL_CTX* context, const std::string& ciphers) {
  if (ciphers.empty() || SSL_CTX_set_cipher_list(context, ciphers.c_str()) == 1) return {};
  return "ciphers \"" + ciphers + "\": " + tls_errors();
}

void must(const std::string& problem) {
  if (!problem.empty()) throw std::runtime_error(problem);
}

SslCtx make_context(const SSL_METHOD* method, TlsFloor floor) {
  ERR_clear_error();
  SslCtx context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) fail("can't make a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), version_of(floor));
  // Before TLS 1.2 signatures use SHA-1, which OpenSSL 3 refuses at its default security level.
  if (floor == TlsFloor::kTls10 || floor == TlsFloor::kTls11) SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  return context;
}

bool wildcard_matches(const std::string& pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) return false;
  const auto dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 &&
         base::equals_ignore_case(name.substr(dot), std::string_view(pattern).substr(1));
}

// What a session's ticket is good for: with another authority of client certificates, old tickets must not
// resume.
std::array<unsigned char, 32> session_context(const std::string& client_ca) {
  std::string text = "imapmux";
  if (!client_ca.empty()) {
    std::ifstream file(client_ca, std::ios::binary);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  std::array<unsigned char, 32> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

}  // namespace

// Reaches into ServerTls for OpenSSL's callbacks.
struct ServerTlsAccess {
  static int choose(SSL* ssl, int*, void* argument) {
    const auto* tls = static_cast<const ServerTls*>(argument);
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!name) return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX* chosen = nullptr;
    for (const auto& identity : tls->identities_) {
      for (const auto& pattern : identity.names) {
        if (base::equals_ignore_case(pattern, name)) {  // goes before any wildcard
          SSL_set_SSL_CTX(ssl, identity.context.get());
          return SSL_TLSEXT_ERR_OK;
        }
        if (!chosen && wildcard_matches(pattern, name)) chosen = identity.context.get();
      }
    }
    if (!chosen) return SSL_TLSEXT_ERR_NOACK;  // an unknown name gets the default certificate
    SSL_set_SSL_CTX(ssl, chosen);
    return SSL_TLSEXT_ERR_OK;
  }
};

void FreeSsl::operator()(ssl_st* ssl) const {
  SSL_free(ssl);
}

std::string tls_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason ? reason : "error " + std::to_string(code);
  }
  return text.empty() ? "unknown error" : text;
}

std::string why_unusable_certificate(const std::string& file, TlsFloor floor) {
  return use_certificate(make_context(TLS_server_method(), floor).get(), file);
}

std::string why_unusable_key(const std::string& file, const std::string& certificate, TlsFloor floor) {
  const auto context = make_context(TLS_server_method(), floor);
  if (!use_certificate(context.get(), certificate).empty()) return {};  // which is what is wrong
  return use_key(context.get(), file, certificate);
}

std::string why_unusable_authorities(const std::string& file) {
  return use_authorities(make_context(TLS_client_method(), TlsFloor::kTls12).get(), file);
}

std::string why_unusable_ciphers(const std::string& ciphers) {
  return use_ciphers(make_context(TLS_client_method(), TlsFloor::kTls12).get(), ciphers);
}

std::shared_ptr<const ServerTls> ServerTls::make(const ServerTlsOptions& options, const ServerTls* previous) {
  auto tls = std::make_shared<ServerTls>();
  for (const auto& identity : options.identities) {
    auto context = make_context(TLS_server_method(), options.floor);
    must(use_certificate(context.get(), identity.certificate));
    must(use_key(context.get(), identity.private_key, identity.certificate));
    const auto id = session_context(options.client_ca);
    SSL_CTX_set_session_id_context(context.get(), id.data(), id.size());
    // Tickets carry the sessions; a cache on our side would need a lock for every handshake.
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context.get(), 1);
    if (!options.client_ca.empty()) {
      must(use_authorities(context.get(), options.client_ca));
      SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(options.client_ca.c_str()));
      SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    tls->identities_.push_back({identity.names, std::move(context)});
  }
  if (tls->identities_.empty()) throw std::runtime_error("TLS needs a certificate");
  SSL_CTX* first = tls->identities_.front().context.get();
  SSL_CTX_set_tlsext_servername_callback(first, ServerTlsAccess::choose);
  SSL_CTX_set_tlsext_servername_arg(first, tls.get());
  if (previous) {
    std::array<unsigned char, kTicketKeys> keys{};
    SSL_CTX* old = previous->identities_.front().context.get();
    if (SSL_CTX_get_tlsext_ticket_keys(old, keys.data(), keys.size()) == 1)
      SSL_CTX_set_tlsext_ticket_keys(first, keys.data(), keys.size());
    OPENSSL_cleanse(keys.data(), keys.size());
  }
  return tls;
}

Ssl ServerTls::open() const {
  Ssl ssl(SSL_new(identities_.front().context.get()));
  if (!ssl) fail("can't open a TLS session");
  SSL_set_accept_state(ssl.get());
  return ssl;
}

std::string ServerTls::fingerprint(size_t n) const {
  const X509* certificate = SSL_CTX_get0_certificate(identities_.at(n).context.get());
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (!certificate || X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
  return fmt::format("{:02X}", fmt::join(digest.data(), digest.data() + size, ":"));
}

std::shared_ptr<const ClientTls> ClientTls::make(const ClientTlsOptions& options) {
  auto tls = std::make_shared<ClientTls>();
  tls->trust_ = options.trust;
  tls->context_ = make_context(TLS_client_method(), options.floor);
  SSL_CTX* context = tls->context_.get();
  must(use_ciphers(context, options.ciphers));
  if (options.trust == TlsTrust::kNone) return tls;
  must(use_authorities(context, options.ca));
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  return tls;
}

Ssl ClientTls::open(const std::string& name) const {
  Ssl ssl(SSL_new(context_.get()));
  if (!ssl) fail("can't open a TLS session");
  SSL_set_connect_state(ssl.get());
  const bool numeric = base::IpAddress::parse(name).has_value();
  if (!numeric) SSL_set_tlsext_host_name(ssl.get(), name.c_str());
  if (trust_ == TlsTrust::kFull) {
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl.get());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int set = numeric ? X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str())
                            : SSL_set1_host(ssl.get(), name.c_str());
    if (set != 1) fail("can't verify the name " + name);
  }
  return ssl;
}

}  // namespace imapmux::net
