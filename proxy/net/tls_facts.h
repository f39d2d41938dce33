// What a TLS handshake came to, for whoever is told of it. Values.
#pragma once

#include <optional>
#include <string>

struct ssl_st;

namespace imapmux::net {

// In the notation of nginx: names by RFC 2253, the serial number in upper case, the SHA-1 fingerprint in
// lower case.
struct CertificateFacts {
  std::string subject;
  std::string issuer;
  std::string serial;
  std::string fingerprint;
};

struct TlsFacts {
  std::string protocol;                  // "TLSv1.3"
  std::string cipher;                    // "TLS_AES_256_GCM_SHA384"
  std::optional<CertificateFacts> peer;  // the peer's certificate, if it showed one that was accepted
};

TlsFacts facts_of(const ssl_st& session);

}  // namespace imapmux::net
