// What a client says to prove who it is: LOGIN's arguments and the SASL mechanisms PLAIN (RFC 4616), LOGIN,
// XOAUTH2 and OAUTHBEARER (RFC 7628). Parsing and composing only; secrets stay in base::Secret.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "config/config.h"

namespace imapmux::auth {

struct Credential {
  config::Mechanism mechanism = config::Mechanism::kLogin;
  std::string authentication_id;  // who proves
  std::string authorization_id;   // as whom they act; empty: the same
  base::Secret secret;            // password, or for OAuth the bearer token
  // The name that routes and accounts go by: the authorization identity where there is one.
  const std::string& user() const { return authorization_id.empty() ? authentication_id : authorization_id; }
  Credential clone() const;
};

// Base64 (RFC 4648) strictly: no white space, right padding. The decoded octets may be secret.
std::optional<base::Secret> decode_base64(std::string_view text);
std::string encode_base64(std::string_view octets);

// The client's (decoded) message of each mechanism; nothing if it is malformed.
std::optional<Credential> parse_plain(std::string_view message);
std::optional<Credential> parse_xoauth2(std::string_view message);      // "user=…^Aauth=Bearer …^A^A"
std::optional<Credential> parse_oauthbearer(std::string_view message);  // "n,a=…,^Aauth=Bearer …^A^A"

// What is sent to a backend (before base64), as `login_name` in place of the client's own name for itself.
// With an authorization identity different from the authentication identity, the authorization identity
// becomes `login_name`.
base::Secret compose_plain(const Credential& credential, std::string_view login_name);
base::Secret compose_xoauth2(const Credential& credential, std::string_view login_name);
base::Secret compose_oauthbearer(const Credential& credential, std::string_view login_name);

}  // namespace imapmux::auth
