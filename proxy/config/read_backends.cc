// backends: the mail servers and how they are used.
#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "config/choices.h"
#include "config/sections.h"

namespace imapmux::config {

namespace {

constexpr uint32_t kDefaultConnections = 2;
constexpr uint32_t kMostConnections = 10'000;

bool all_loopback(const Backend& backend) {
  const auto& servers = backend.servers;
  return !servers.empty() && std::all_of(servers.begin(), servers.end(),
                                         [](const base::Endpoint& server) { return server.is_loopback(); });
}

void read_server(const Value& item, uint16_t default_port, Backend& backend) {
  constexpr std::string_view kExpected = "HOST:PORT, [IPv6]:PORT or unix:/path";
  const auto text = item.text(kExpected);
  if (!text) return;
  auto server = base::parse_endpoint(*text, default_port);
  const bool reachable = server && (server->is_unix() || (!server->host.empty() && server->port != 0));
  if (!reachable) return item.error(fmt::format("must be {}, not {}", kExpected, quoted(*text)));
  server->host = base::lower(server->host);
  if (std::find(backend.servers.begin(), backend.servers.end(), *server) != backend.servers.end()) {
    return item.error(fmt::format("{} is listed twice", server->to_string()));
  }
  backend.servers.push_back(std::move(*server));
}

void read_servers(const Value& value, Backend& backend) {
  const auto items = value.items();
  if (!items) return;
  if (items->empty()) return value.error("must hold at least one server");
  const uint16_t default_port = usual_port(backend.tls);
  for (const Value& item : *items) read_server(item, default_port, backend);
  // Reported; a backend without servers would be reported again at its routes.
  if (backend.servers.empty()) backend.servers.emplace_back();
}

constexpr std::array kLoginKeys = std::to_array<Key<Backend>>({
    {"mechanism", read_choice<&Backend::mechanism, kLoginMechanismChoices>,
     "auto, LOGIN, PLAIN, XOAUTH2, OAUTHBEARER", "auto", Reload::kApplies,
     "How the proxy logs in. auto: the best of what the server offers and the client's credentials allow."},
    {"master_user", read_text<&Backend::master_user>, "text", kNoDefault, Reload::kApplies,
     "Logs in as this user on behalf of everybody, with the client's name as the authorization identity."},
    {"master_password", read_secret<&Backend::master_password>, "secret", kNoDefault, Reload::kApplies,
     "The password of master_user."},
    {"master_password_file", read_secret_file<&Backend::master_password>, "file", kNoDefault,
     Reload::kApplies, "The same as the contents of a file, without the newline at its end."},
});

void read_login(const Value& value, Backend& backend) {
  const auto map = read_keys<Backend>(value, kLoginKeys, backend);
  if (!map) return;
  refuse_both(*map, "master_password", "master_password_file");
  const Value* user = map->find("master_user");
  const bool in_file = map->find("master_password_file") != nullptr;
  const std::string_view password_key = in_file ? "master_password_file" : "master_password";
  const Value* password = map->find(password_key);
  if (user != nullptr && password == nullptr)
    user->error_at_name("needs master_password or master_password_file");
  if (user == nullptr && password != nullptr) password->error_at_name("needs master_user");
  const bool oauth =
      backend.mechanism == LoginMechanism::kXoauth2 || backend.mechanism == LoginMechanism::kOauthbearer;
  if (user != nullptr && oauth) user->error_at_name("is impossible with mechanism XOAUTH2 or OAUTHBEARER");
}

constexpr std::array kAliasKeys = std::to_array<Key<MailboxAlias>>({
    {"match", read_text<&MailboxAlias::match>, "RE2", kRequired, Reload::kApplies,
     "A regular expression for the whole mailbox name."},
    {"key", read_text<&MailboxAlias::key>, "text", kRequired, Reload::kApplies,
     "The name under which the mailbox is the same as others; \\1 is the first group."},
    {"user", read_text<&MailboxAlias::user>, "text", kNoDefault, Reload::kApplies,
     "The user whose mailbox it is; \\1 is the first group. Left out: the one who asks."},
});

void check_rewrite(const Map& map, const re2::RE2& pattern, std::string_view key,
                   const std::string& rewrite) {
  std::string error;
  if (!rewrite.empty() && !pattern.CheckRewriteString(rewrite, &error)) {
    map.near(key).error(fmt::format("{} does not fit match: {}", quoted(rewrite), error));
  }
}

void read_alias(const Value& value, Backend& backend) {
  MailboxAlias alias;
  const auto map = read_keys<MailboxAlias>(value, kAliasKeys, alias);
  if (!map || alias.match.empty()) return;
  const re2::RE2 pattern(alias.match, re2::RE2::Quiet);
  if (!pattern.ok()) {
    return map->near("match").error(
        fmt::format("{} is not a regular expression: {}", quoted(alias.match), pattern.error()));
  }
  check_rewrite(*map, pattern, "key", alias.key);
  check_rewrite(*map, pattern, "user", alias.user);
  backend.mailbox_aliases.push_back(std::move(alias));
}

void read_aliases(const Value& value, Backend& backend) {
  const auto items = value.items();
  if (!items) return;
  for (const Value& item : *items) read_alias(item, backend);
}

void read_source_addresses(const Value& value, Backend& backend) {
  read_list(
      value, "a numeric address", [](const std::string& text) { return base::IpAddress::parse(text); },
      backend.source_addresses);
}

void read_namespaces(const Value& value, Backend& backend) {
  read_list(
      value, "a mailbox prefix such as Shared/", [](const std::string& text) { return std::optional(text); },
      backend.shared_namespaces);
}

// RFC 3501, 9: capability = "AUTH=" auth-type / atom.
std::optional<std::string> parse_capability(const std::string& text) {
  const bool atom = std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("(){%*\"\\]").find(c) == std::string_view::npos;
  });
  return atom ? std::optional(base::upper(text)) : std::nullopt;
}

void read_hidden(const Value& value, Backend& backend) {
  read_list(value, "the name of a capability", parse_capability, backend.hide_capabilities);
}

void read_yield_after(const Value& value, Backend& backend) {
  if (value.is_scalar() && value.node().Scalar() == "never") {
    backend.yield_after.reset();
    return;
  }
  if (const auto duration = value.duration(base::Millis(0), base::Millis(kLongestMillis)))
    backend.yield_after = *duration;
}

constexpr std::array kHealthKeys = std::to_array<Key<HealthCheck>>({
    {"interval", read_duration<&HealthCheck::interval, 100>, "duration", "10s", Reload::kApplies,
     "How often a server is asked: it is connected to, greets, and is logged out of."},
    {"timeout", read_duration<&HealthCheck::timeout>, "duration", "5s", Reload::kApplies,
     "How long it may take for each of connecting, TLS, and its greeting."},
    {"fall", read_integer<&HealthCheck::fall, 1, 100>, "1..100", "3", Reload::kApplies,
     "A server that failed in so many intervals in a row is down. What clients meet counts, too."},
    {"rise", read_integer<&HealthCheck::rise, 1, 100>, "1..100", "2", Reload::kApplies,
     "After so many successes in a row it is up again."},
});

void read_health_check(const Value& value, Backend& backend) {
  backend.health_check.reset();
  if (value.is_scalar()) {
    if (value.node().Scalar() != "off") value.error("must be a map, or off");
    return;
  }
  HealthCheck check;
  if (read_keys<HealthCheck>(value, kHealthKeys, check)) backend.health_check = check;
}

constexpr std::array kBackendKeys = std::to_array<Key<Backend>>({
    {"tls", read_choice<&Backend::tls, kBackendTlsChoices>, "none, starttls, implicit", "starttls",
     Reload::kApplies, "How TLS begins on connections to the servers."},
    {"servers", read_servers, "list of HOST:PORT", "(required, but for auth_http routes)", Reload::kApplies,
     "Several are equivalent replicas of the same mail. Without a port: 143, or 993 with tls: implicit."},
    {"failover", read_boolean<&Backend::failover>, "true, false", "true", Reload::kApplies,
     "Users of a server that is down go to the next one."},
    {"tls_verify", read_choice<&Backend::tls_verify, kTlsVerifyChoices>, "full, ca, none", "full",
     Reload::kApplies, "full: certificate and name; ca: the certificate only; none: nothing is checked."},
    {"ca", read_file_path<&Backend::ca>, "file", "(the system's)", Reload::kApplies,
     "PEM file with the authorities to trust."},
    {"server_name", read_text<&Backend::server_name>, "text", "(the server's host)", Reload::kApplies,
     "The name for SNI and for the check of the certificate."},
    {"min_protocol", read_choice<&Backend::min_protocol, kTlsVersionChoices>,
     "TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3, TLSv1", "TLSv1.2", Reload::kApplies,
     "The oldest version of TLS. Old servers may need less; check then warns."},
    {"ciphers", read_text<&Backend::ciphers>, "text", "(OpenSSL's)", Reload::kApplies,
     "The ciphers in OpenSSL's syntax; DEFAULT@SECLEVEL=0 for very old servers."},
    {"login", read_login, "map", "{}", Reload::kApplies, "How the proxy logs in."},
    {"mailbox_access", read_choice<&Backend::access, kMailboxAccessChoices>,
     "shared, exclusive, unrestricted", "shared", Reload::kApplies,
     "shared: the clients of a user share one session per mailbox; exclusive: each client has one of its "
     "own, and they take turns in a mailbox; unrestricted: the proxy does not interfere."},
    {"conflicts", read_choice<&Backend::conflicts, kConflictsChoices>, "single-access, single-writer, none",
     "(single-access; none with mailbox_access: unrestricted)", Reload::kApplies,
     "What the server cannot bear: a second session in a mailbox, a second one that may write, or nothing."},
    {"connections_per_user", read_integer<&Backend::connections_per_user, 0, kMostConnections>, "0..10000",
     "(2; 0 with mailbox_access: unrestricted)", Reload::kApplies,
     "How many connections a user may have to the server; 0: no limit."},
    {"max_connections", read_integer<&Backend::max_connections, 0, 1'000'000>, "0..1000000", "0",
     Reload::kApplies, "How many connections one server gets from all users together; 0: no limit."},
    {"lease_wait", read_duration<&Backend::lease_wait>, "duration", "30s", Reload::kApplies,
     "How long a client waits for a mailbox that another one has open."},
    {"yield_after", read_yield_after, "duration, never", "2s", Reload::kApplies,
     "How long a session without a command keeps a mailbox that somebody waits for; never: until its clients "
     "leave."},
    {"max_hold", read_duration<&Backend::max_hold>, "duration", "5s", Reload::kApplies,
     "How long a busy session keeps a mailbox since somebody began to wait."},
    {"min_hold", read_duration<&Backend::min_hold, 0>, "duration", "500ms", Reload::kApplies,
     "How long a session keeps a mailbox at least."},
    {"linger", read_duration<&Backend::linger, 0>, "duration", "3s", Reload::kApplies,
     "How long a mailbox stays open after its last client left it, if nobody waits for it."},
    {"poll_interval", read_duration<&Backend::poll_interval>, "duration", "30s", Reload::kApplies,
     "How often the server is asked for news where it does not tell by itself."},
    {"credential_ttl", read_duration<&Backend::credential_ttl, 0>, "duration", "5m", Reload::kApplies,
     "How long a password that the server accepted is believed without asking again; 0: not at all. Only "
     "with mailbox_access: shared."},
    {"account_linger", read_duration<&Backend::account_linger, 0>, "duration", "60s", Reload::kApplies,
     "How long connections and credentials are kept after the last client left. Only with mailbox_access: "
     "shared."},
    {"share_credentials", read_choice<&Backend::share_credentials, kShareCredentialsChoices>,
     "any, identical", "any", Reload::kApplies,
     "Whether clients with different credentials of one user share connections. identical keeps restricted "
     "app passwords and OAuth scopes apart. Only with mailbox_access: shared."},
    {"backend_wait", read_duration<&Backend::backend_wait>, "duration", "20s", Reload::kApplies,
     "How long a client waits for a free connection."},
    {"connect_timeout", read_duration<&Backend::connect_timeout>, "duration", "5s", Reload::kApplies,
     "How long connecting may take, with TLS."},
    {"command_timeout", read_duration<&Backend::command_timeout>, "duration", "5m", Reload::kApplies,
     "How long the server may be silent while a command runs."},
    {"uidnext", read_choice<&Backend::uid_next, kUidNextChoices>, "sticky, unreliable", "sticky",
     Reload::kApplies,
     "Whether the server never gives a UID again, also that of the last message after it was expunged: then "
     "a "
     "mailbox that is opened again need not be read from its beginning."},
    {"source_addresses", read_source_addresses, "list of addresses", "[]", Reload::kApplies,
     "Addresses that outgoing connections come from."},
    {"send_proxy", read_choice<&Backend::send_proxy, kSendProxyChoices>, "none, v1, v2", "none",
     Reload::kApplies,
     "Begins each connection to a server with a PROXY header that says who the client is (explained below)."},
    {"send_client_id", read_boolean<&Backend::send_client_id>, "true, false", "false", Reload::kApplies,
     "Tells servers that offer ID (RFC 2971) before login who the client is (explained below)."},
    {"shared_namespaces", read_namespaces, "list of prefixes", "[]", Reload::kApplies,
     "Mailboxes below these are the same for all users."},
    {"mailbox_aliases", read_aliases, "list of maps", "[]", Reload::kApplies,
     "Mailbox names that mean the same mailbox."},
    {"hide_capabilities", read_hidden, "list of capabilities", "[]", Reload::kApplies,
     "Extensions of the server that clients do not get to see."},
    {"health_check", read_health_check, "map, off", "{}", Reload::kApplies,
     "How servers are watched that no traffic shows to work. A backend whose servers are all down refuses "
     "logins at once."},
});

void check_tls(const Map& map, const Backend& backend) {
  if (backend.tls == BackendTls::kNone) {
    for (const std::string_view key : {"tls_verify", "ca", "server_name", "min_protocol", "ciphers"}) {
      if (const Value* value = map.find(key)) value->error_at_name("has no meaning with tls: none");
    }
    if (!all_loopback(backend)) map.near("tls").warning("passwords and mail cross the network in plain text");
    return;
  }
  if (backend.tls_verify == TlsVerify::kNone) {
    map.near("tls_verify")
        .warning("the server's certificate is not checked: anybody in between can read passwords");
  }
  if (backend.min_protocol < TlsVersion::kTls12) {
    map.near("min_protocol").warning("versions before TLSv1.2 are weak (RFC 8996)");
  }
}

void settle_access(const Map& map, Backend& backend) {
  const bool unrestricted = backend.access == MailboxAccess::kUnrestricted;
  if (map.find("connections_per_user") == nullptr) {
    backend.connections_per_user = unrestricted ? 0 : kDefaultConnections;
  }
  if (unrestricted && map.find("conflicts") != nullptr && backend.conflicts != Conflicts::kNone) {
    map.near("conflicts").error("contradicts mailbox_access: unrestricted, which keeps no sessions apart");
  }
  if (unrestricted) backend.conflicts = Conflicts::kNone;
  if (backend.max_connections != 0 && backend.max_connections < backend.connections_per_user) {
    map.near("max_connections")
        .error(fmt::format("is less than connections_per_user ({})", backend.connections_per_user));
  }
}

// What is no mistake to the letter, but hardly what was meant.
void warn_of_sharing(const Map& map, const Backend& backend) {
  const bool shared = backend.access == MailboxAccess::kShared;
  const auto warn_of = [&](std::initializer_list<std::string_view> keys, std::string_view why) {
    for (const auto key : keys)
      if (const Value* value = map.find(key)) value->warning(why);
  };
  if (!shared) {
    warn_of({"credential_ttl", "account_linger", "share_credentials"}, "only mailbox_access: shared uses it");
  }
  if (backend.access == MailboxAccess::kUnrestricted) {
    warn_of({"yield_after", "max_hold", "min_hold", "linger"},
            "mailbox_access: unrestricted does not use it");
    return;
  }
  if (backend.min_hold >= backend.lease_wait) {
    const std::string_view written = map.find("min_hold") != nullptr ? "min_hold" : "lease_wait";
    map.near(written).warning(fmt::format(
        "min_hold ({}) is not less than lease_wait ({}): who waits gives up before a mailbox is free",
        format_duration(backend.min_hold), format_duration(backend.lease_wait)));
  }
  if (!shared) return;
  if (backend.connections_per_user == 0) {
    map.near("connections_per_user")
        .warning("without a limit a user gets a connection for each mailbox that is open");
  }
  const Value* linger = map.find("linger");
  if (linger != nullptr && backend.linger > backend.account_linger) {
    linger->warning(fmt::format("is more than account_linger ({}), which ends it",
                                format_duration(backend.account_linger)));
  }
}

bool is_backend_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    const char low = base::to_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

void read_backend(const Map::Entry& entry, Config& config) {
  Backend backend;
  backend.name = entry.key;
  backend.tls = BackendTls::kStarttls;  // also while a wrong value stands there
  if (!is_backend_name(entry.key)) {
    entry.value.error_at_name("a backend's name is 1 to 64 letters, digits, \"-\", \"_\" and \".\"");
  }
  const auto map = read_keys<Backend>(entry.value, kBackendKeys, backend);
  if (map) {
    check_tls(*map, backend);
    settle_access(*map, backend);
    warn_of_sharing(*map, backend);
    note_tls_item(*map, "ca", TlsItem::Kind::kAuthorities, backend.ca, config);
    note_tls_item(*map, "ciphers", TlsItem::Kind::kCiphers, backend.ciphers, config);
  } else {
    backend.servers.emplace_back();  // see read_servers()
  }
  config.backends.emplace(entry.key,
                          std::move(backend));  // also a faulty one: references to it are not dangling
}

}  // namespace

void read_backends(const Value& value, Config& config) {
  const auto map = Map::open(value);
  if (!map) return;
  if (map->entries().empty()) return value.error("must hold at least one backend");
  for (const Map::Entry& entry : map->entries()) read_backend(entry, config);
}

void append_backend_keys(std::vector<KeyInfo>& out) {
  append_keys<Backend>(kBackendKeys, "backends.NAME.", out);
  append_keys<Backend>(kLoginKeys, "backends.NAME.login.", out);
  append_keys<MailboxAlias>(kAliasKeys, "backends.NAME.mailbox_aliases[].", out);
  append_keys<HealthCheck>(kHealthKeys, "backends.NAME.health_check.", out);
}

}  // namespace imapmux::config
