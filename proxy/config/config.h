// The configuration as plain values: what the YAML file says, with defaults filled in and references
// resolved. Made by config_loader, then never changed: all threads share one `shared_ptr<const Config>`; a
// reload makes another.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/time.h"
#include "config/place.h"

namespace imapmux::config {

enum class ListenerTls : uint8_t { kNone, kStarttls, kImplicit };
enum class BackendTls : uint8_t { kNone, kStarttls, kImplicit };
enum class TlsVerify : uint8_t { kFull, kCa, kNone };
enum class TlsVersion : uint8_t { kTls10, kTls11, kTls12, kTls13 };
enum class PlaintextLogin : uint8_t { kNever, kLoopback, kAlways };
enum class Mechanism : uint8_t { kLogin /* the LOGIN command */, kPlain, kXoauth2, kOauthbearer, kAuthLogin };
enum class LoginMechanism : uint8_t { kAuto, kLogin, kPlain, kXoauth2, kOauthbearer };
enum class MailboxAccess : uint8_t { kShared, kExclusive, kUnrestricted };
enum class Conflicts : uint8_t { kSingleAccess, kSingleWriter, kNone };
enum class ShareCredentials : uint8_t { kAny, kIdentical };
enum class UidNext : uint8_t { kSticky, kUnreliable };
enum class SendProxy : uint8_t { kNone, kV1, kV2 };

// Of servers: 993 where TLS comes first.
constexpr uint16_t usual_port(BackendTls tls) {
  return tls == BackendTls::kImplicit ? 993 : 143;
}

struct Certificate {
  std::vector<std::string> names;  // as in SNI, lower case; "*.example.org" matches one label
  std::string certificate;         // absolute paths of PEM files
  std::string private_key;
  friend bool operator==(const Certificate&, const Certificate&) = default;
};

struct Listener {
  std::string name;
  base::Endpoint bind;
  uint32_t mode = 0666;  // of a unix socket
  ListenerTls tls = ListenerTls::kNone;
  bool auth_plain = true;
  bool auth_login = true;
  bool auth_xoauth2 = false;
  bool auth_oauthbearer = false;
  std::string client_ca;  // a PEM file: clients must show a certificate it signed; empty: none asked for
  TlsVersion min_protocol = TlsVersion::kTls12;
  PlaintextLogin allow_plaintext_login = PlaintextLogin::kLoopback;
  std::vector<base::Network> proxy_protocol;  // peers that say by a PROXY header who the client is
  friend bool operator==(const Listener&, const Listener&) = default;
};

struct MailboxAlias {
  std::string match;  // RE2
  std::string key;    // rewrite with \1 …
  std::string user;   // rewrite; empty: unchanged
  friend bool operator==(const MailboxAlias&, const MailboxAlias&) = default;
};

struct HealthCheck {
  base::Millis interval{10'000};
  base::Millis timeout{5'000};
  uint32_t fall = 3;  // failures in a row make a server be down
  uint32_t rise = 2;  // successes in a row make it be up again
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

struct Backend {
  std::string name;
  std::vector<base::Endpoint> servers;  // may be empty where auth_http services say which one it is
  bool failover = true;
  BackendTls tls = BackendTls::kNone;
  TlsVerify tls_verify = TlsVerify::kFull;
  std::string ca;           // PEM file; empty: the system's
  std::string server_name;  // for SNI and verification; empty: the host's name
  TlsVersion min_protocol = TlsVersion::kTls12;
  std::string ciphers;  // OpenSSL's syntax; empty: its default
  LoginMechanism mechanism = LoginMechanism::kAuto;
  std::string master_user;  // empty: none
  base::Secret master_password;
  MailboxAccess access = MailboxAccess::kShared;
  Conflicts conflicts = Conflicts::kSingleAccess;
  ShareCredentials share_credentials = ShareCredentials::kAny;
  uint32_t connections_per_user = 2;  // 0 = no limit (the default for unrestricted)
  uint32_t max_connections = 0;       // per server, whole process; 0 = no limit
  base::Millis lease_wait{30'000};
  base::Millis poll_interval{30'000};
  std::optional<base::Millis> yield_after = base::Millis(2'000);  // nothing: never
  base::Millis max_hold{5'000};
  base::Millis min_hold{500};  // 0 = none
  base::Millis linger{3'000};  // of a mailbox after its last view; 0 = none
  // For shared access only, like share_credentials.
  base::Millis credential_ttl{300'000};  // 0 = every login asks the server
  base::Millis account_linger{60'000};   // 0 = none
  base::Millis backend_wait{20'000};
  base::Millis connect_timeout{5'000};
  base::Millis command_timeout{300'000};
  std::vector<base::IpAddress> source_addresses;
  UidNext uid_next = UidNext::kSticky;
  SendProxy send_proxy = SendProxy::kNone;
  bool send_client_id = false;
  std::vector<std::string> shared_namespaces;
  std::vector<MailboxAlias> mailbox_aliases;
  std::vector<std::string> hide_capabilities;               // upper case
  std::optional<HealthCheck> health_check = HealthCheck();  // nothing: off
  friend bool operator==(const Backend&, const Backend&) = default;
};

// An entry of a users file.
struct UserEntry {
  std::string backend;
  std::string login_as;  // empty: as given
  friend bool operator==(const UserEntry&, const UserEntry&) = default;
};

struct HttpHeader {
  std::string name;
  base::Secret value;
  friend bool operator==(const HttpHeader&, const HttpHeader&) = default;
};

// A service that speaks nginx's auth_http protocol: it is asked at each login.
struct AuthHttp {
  std::string url;          // as written, for messages
  base::Endpoint endpoint;  // host:port, or a unix socket
  bool tls = false;         // https
  std::string host;         // as the Host header names it
  std::string target;       // what is asked for: "/auth?x=1"
  base::Millis timeout{10'000};
  std::vector<HttpHeader> headers;  // added to each request
  std::string ca;                   // PEM file; empty: the system's
  TlsVerify tls_verify = TlsVerify::kFull;
  uint32_t max_connections = 64;  // requests at once, whole process
  friend bool operator==(const AuthHttp&, const AuthHttp&) = default;
};

struct Route {
  std::optional<std::string> user;  // pattern: * and ? as in shells, without regard to case
  std::optional<std::string> listener;
  std::vector<base::Network> source;       // empty: any
  std::optional<std::string> sni;          // pattern like user
  std::string backend;                     // empty with a users file
  std::string login_as;                    // "{user}", "{local}", "{domain}" replaced; empty: as given
  std::string users_file;                  // its path, for messages
  std::map<std::string, UserEntry> users;  // by user name in lower case
  std::optional<AuthHttp> auth_http;       // nothing: nobody is asked
  int line = 0;                            // in the file, for "why"
  friend bool operator==(const Route&, const Route&) = default;
};

struct ProtocolTrace {
  std::string user;    // empty: any
  std::string client;  // numeric address; empty: any
  bool on() const { return !user.empty() || !client.empty(); }
  friend bool operator==(const ProtocolTrace&, const ProtocolTrace&) = default;
};

struct Limits {
  uint32_t max_clients = 10'000;
  uint32_t max_clients_per_address = 100;       // 0 = no limit
  uint32_t max_clients_per_user = 0;            // logged in; 0 = no limit
  std::vector<base::Network> trusted_networks;  // default 127.0.0.0/8
  uint64_t max_command_size = 64ULL * 1024;
  uint64_t max_message_size = 64ULL * 1024 * 1024;
  uint64_t max_backlog = 256ULL * 1024 * 1024;     // of one client that reads slowly
  uint64_t max_spool = 4ULL * 1024 * 1024 * 1024;  // all spools of the process; at least max_message_size
  std::string spool_directory = "/tmp";            // absolute
  base::Millis login_timeout{60'000};
  base::Millis idle_timeout{1'800'000};
  base::Millis idle_keepalive{120'000};
  base::Millis tcp_keepalive{60'000};  // 0 = off
  base::Millis auth_failure_delay{2'000};
  friend bool operator==(const Limits&, const Limits&) = default;
};

// `serve --takeover`: where the next one asks for sockets and accounts.
struct Takeover {
  std::string socket;          // path of a unix socket; empty: none can
  base::Millis drain{30'000};  // for clients who are not asked for
  friend bool operator==(const Takeover&, const Takeover&) = default;
};

// What only OpenSSL can judge: the loader notes it with its place, and app/tls_check judges it.
struct TlsItem {
  enum class Kind : uint8_t { kIdentity, kAuthorities, kCiphers };
  Kind kind = Kind::kIdentity;
  std::string path;         // its name in messages: "listeners#1.client_ca"
  std::string value;        // a PEM file, or ciphers
  std::string private_key;  // of an identity, a PEM file
  Place place;
  std::string key_path;  // those of the private key
  Place key_place;
};

struct Config {
  uint32_t workers = 1;  // `auto` is resolved by the loader
  base::Millis shutdown_grace{10'000};
  base::log::Level log_level = base::log::Level::kInfo;
  base::log::Format log_format = base::log::Format::kText;
  ProtocolTrace trace;
  std::optional<base::Endpoint> admin;
  base::Secret admin_token;
  base::Secret admin_metrics_token;  // empty: the metrics are for everybody
  Takeover takeover;
  std::vector<Certificate> certificates;
  std::vector<Listener> listeners;
  std::map<std::string, Backend> backends;
  std::vector<Route> routes;
  Limits limits;
  std::vector<TlsItem> tls_items;
};

using ConfigPtr = std::shared_ptr<const Config>;

}  // namespace imapmux::config
