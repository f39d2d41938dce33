// What the operator says about the server that is to be probed, but for the password. A value.
#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/time.h"
#include "config/config.h"

namespace imapmux::probe {

struct Options {
  base::Endpoint server;
  std::string user;
  config::BackendTls tls = config::BackendTls::kStarttls;
  config::TlsVerify tls_verify = config::TlsVerify::kFull;
  std::string ca;           // PEM file; empty: the system's
  std::string server_name;  // for SNI and verification; empty: the host's name
  config::TlsVersion min_protocol = config::TlsVersion::kTls12;
  std::string ciphers;           // OpenSSL's syntax; empty: its default
  base::Millis timeout{30'000};  // for each answer
  // One more than Courier's MAXPERIP, the largest of the usual limits.
  uint32_t most_connections = 21;
};

}  // namespace imapmux::probe
