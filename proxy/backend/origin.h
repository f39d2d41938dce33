// Whom a connection to a backend is opened for, as servers may be told: by a PROXY header (send_proxy), or by
// ID (send_client_id). Values; pure.
#pragma once

#include <optional>
#include <string>

#include "config/config.h"
#include "net/stream.h"

namespace imapmux::backend {

struct Origin {
  net::PeerFacts client;  // of net::Stream::ends()
  std::string session;    // its id, as the log has it
};

// Nobody's: the proxy opens it for itself, as to check a server's health, or to go on where no client is
// left.
using MaybeOrigin = std::optional<Origin>;

// Whether the servers are told at all.
bool tells_origin(const config::Backend& backend);

// What goes out before everything else, TLS included; empty: nothing.
std::string proxy_header(config::SendProxy version, const MaybeOrigin& origin);

// The command (RFC 2971) that tells a server what its own proxies tell Dovecot: x-originating-ip and others.
std::string id_command(const Origin& origin);

}  // namespace imapmux::backend
