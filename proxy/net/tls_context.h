// OpenSSL contexts made from the configuration: one for each listener (chosen by SNI among its certificates)
// and one for each backend. Immutable once made, shared by all threads; a reload makes new ones and carries
// ticket keys over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/address.h"

struct ssl_ctx_st;
struct ssl_st;

namespace imapmux::net {

using SslCtx = std::shared_ptr<ssl_ctx_st>;

struct FreeSsl {
  void operator()(ssl_st* ssl) const;
};
using Ssl = std::unique_ptr<ssl_st, FreeSsl>;

enum class TlsFloor : uint8_t { kTls10, kTls11, kTls12, kTls13 };
enum class TlsTrust : uint8_t { kFull, kChainOnly, kNone };

struct ServerIdentity {
  std::vector<std::string> names;  // "*.example.org" stands for one label
  std::string certificate;         // PEM files
  std::string private_key;
};

struct ServerTlsOptions {
  std::vector<ServerIdentity> identities;  // the first is the default
  TlsFloor floor = TlsFloor::kTls12;
  std::string
      client_ca;  // PEM file; clients must show a certificate that it signed; empty: none is asked for
};

struct ClientTlsOptions {
  TlsTrust trust = TlsTrust::kFull;
  std::string ca;  // PEM file; empty: the system's
  TlsFloor floor = TlsFloor::kTls12;
  std::string ciphers;  // OpenSSL's syntax; empty: its default
};

class ServerTls {
 public:
  // Throws std::runtime_error with the file and OpenSSL's reason. `previous` (may be null): whose tickets
  // stay valid.
  static std::shared_ptr<const ServerTls> make(const ServerTlsOptions& options, const ServerTls* previous);
  // A new session for one connection.
  Ssl open() const;
  // SHA-256 of the certificate of the nth identity, as `openssl x509 -fingerprint -sha256` shows it.
  std::string fingerprint(size_t n) const;

 private:
  friend struct ServerTlsAccess;
  struct Identity {
    std::vector<std::string> names;
    SslCtx context;
  };
  std::vector<Identity> identities_;
};

class ClientTls {
 public:
  static std::shared_ptr<const ClientTls> make(const ClientTlsOptions& options);
  // `name`: for SNI and verification; an IP address is verified as one, and not sent as SNI.
  Ssl open(const std::string& name) const;

 private:
  SslCtx context_;
  TlsTrust trust_ = TlsTrust::kFull;
};

// What is wrong with what a configuration says, empty if nothing is; the same that make() would throw.
std::string why_unusable_certificate(const std::string& file, TlsFloor floor);
std::string why_unusable_key(const std::string& file, const std::string& certificate, TlsFloor floor);
std::string why_unusable_authorities(const std::string& file);
std::string why_unusable_ciphers(const std::string& ciphers);

// The oldest entries of OpenSSL's error queue as text, emptying it.
std::string tls_errors();

}  // namespace imapmux::net
