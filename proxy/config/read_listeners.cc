// certificates and listeners: what mail clients meet.
#include <algorithm>
#include <array>
#include <set>

#include "config/choices.h"
#include "config/sections.h"

namespace imapmux::config {

namespace {

// The name a certificate is chosen by: a host name, or one label replaced by "*".
bool is_certificate_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  const auto endpoint = base::parse_endpoint(name, 1);
  return endpoint && !endpoint->is_unix() && !endpoint->host.empty() && endpoint->host == name;
}

void read_names(const Value& value, Certificate& certificate) {
  const auto parse = [](const std::string& text) {
    return is_certificate_name(text) ? std::optional(base::lower(text)) : std::nullopt;
  };
  read_list(value, "a host name such as mail.example.org or *.example.org", parse, certificate.names);
}

constexpr std::array kCertificateKeys = std::to_array<Key<Certificate>>({
    {"names", read_names, "list of names", "(none: only as the default)", Reload::kApplies,
     "The names in SNI that get this certificate; *.example.org stands for one label."},
    {"certificate", read_file_path<&Certificate::certificate>, "file", kRequired, Reload::kApplies,
     "PEM file with the certificate and the chain behind it."},
    {"private_key", read_file_path<&Certificate::private_key>, "file", kRequired, Reload::kApplies,
     "PEM file with its private key."},
});

void read_certificate(const Value& value, std::set<std::string>& taken, Config& config) {
  Certificate certificate;
  const auto map = read_keys<Certificate>(value, kCertificateKeys, certificate);
  if (!map) return;
  if (!config.certificates.empty() && certificate.names.empty()) {
    map->near("names").error("only the first certificate can do without names");
  }
  for (const std::string& name : certificate.names) {
    if (!taken.insert(name).second) map->near("names").error(fmt::format("{} is named twice", quoted(name)));
  }
  if (!certificate.certificate.empty() && !certificate.private_key.empty()) {
    const Value& file = map->near("certificate");
    const Value& key = map->near("private_key");
    config.tls_items.push_back({TlsItem::Kind::kIdentity, file.path(), certificate.certificate,
                                certificate.private_key, file.place(), key.path(), key.place()});
  }
  config.certificates.push_back(std::move(certificate));
}

void read_listener_bind(const Value& value, Listener& listener) {
  if (auto endpoint = read_bind(value)) listener.bind = std::move(*endpoint);
}

// Octal, as chmod has it: "0660" or "660".
void read_mode(const Value& value, Listener& listener) {
  const auto text = value.text("a mode such as 0660");
  if (!text) return;
  const std::string_view digits = text->starts_with('0') ? std::string_view(*text).substr(1) : *text;
  if (digits.size() != 3 || digits.find_first_not_of("01234567") != std::string_view::npos) {
    return value.error(fmt::format("must be a mode such as 0660, not {}", quoted(*text)));
  }
  listener.mode = 0;
  for (const char digit : digits) listener.mode = listener.mode * 8 + static_cast<uint32_t>(digit - '0');
}

void read_auth(const Value& value, Listener& listener) {
  const auto items = value.items();
  if (!items) return;
  if (items->empty()) return value.error("must list at least one mechanism");
  listener.auth_plain = listener.auth_login = false;
  for (const Value& item : *items) {
    const auto mechanism = choose(item, kClientMechanismChoices);
    if (!mechanism) continue;
    if (*mechanism == Mechanism::kPlain) listener.auth_plain = true;
    if (*mechanism == Mechanism::kAuthLogin) listener.auth_login = true;
    if (*mechanism == Mechanism::kXoauth2) listener.auth_xoauth2 = true;
    if (*mechanism == Mechanism::kOauthbearer) listener.auth_oauthbearer = true;
  }
}

constexpr std::array kListenerKeys = std::to_array<Key<Listener>>({
    {"name", read_text<&Listener::name>, "text", "(the bind address)", Reload::kApplies,
     "What routes and the log call it."},
    {"bind", read_listener_bind, "address", kRequired, Reload::kApplies,
     "HOST:PORT with a numeric host, [::]:143 for all addresses, or unix:/path."},
    {"mode", read_mode, "octal mode", "(0666)", Reload::kApplies, "Permissions of a unix socket."},
    {"tls", read_choice<&Listener::tls, kListenerTlsChoices>, "none, starttls, implicit",
     "(starttls with a certificate, else none)", Reload::kApplies, "How TLS begins."},
    {"auth", read_auth, "list of PLAIN, LOGIN, XOAUTH2, OAUTHBEARER", "[PLAIN, LOGIN]", Reload::kApplies,
     "SASL mechanisms that clients may use. The LOGIN command is always there."},
    {"client_ca", read_file_path<&Listener::client_ca>, "file", kNoDefault, Reload::kApplies,
     "Clients must show a certificate that one of these signed."},
    {"min_protocol", read_choice<&Listener::min_protocol, kTlsVersionChoices>,
     "TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3, TLSv1", "TLSv1.2", Reload::kApplies, "The oldest version of TLS."},
    {"allow_plaintext_login", read_choice<&Listener::allow_plaintext_login, kPlaintextLoginChoices>,
     "never, loopback, always", "(loopback; with tls: none always)", Reload::kApplies,
     "Who may log in before STARTTLS."},
    {"proxy_protocol", read_networks<&Listener::proxy_protocol>, "list of networks", "[]", Reload::kApplies,
     "The proxies in front: from them a PROXY header (version 1 or 2) is demanded, and its address counts "
     "for "
     "everything. From all others none is taken."},
});

void check_without_tls(const Map& map, Listener& listener) {
  for (const std::string_view key : {"client_ca", "min_protocol"}) {
    if (const Value* value = map.find(key)) value->error_at_name("has no meaning with tls: none");
  }
  if (listener.allow_plaintext_login != PlaintextLogin::kAlways &&
      map.find("allow_plaintext_login") != nullptr) {
    map.near("allow_plaintext_login")
        .error("with tls: none every login is in plain text; only always is possible");
  }
  listener.allow_plaintext_login = PlaintextLogin::kAlways;
  if (!listener.bind.is_loopback()) {
    map.near("tls").warning(
        fmt::format("listener {}: passwords cross the network in plain text", quoted(listener.name)));
  }
}

void check_with_tls(const Map& map, const Listener& listener, const Config& config) {
  if (config.certificates.empty()) {
    map.near("tls").error(
        fmt::format("listener {} uses TLS, but there are no certificates", quoted(listener.name)));
  }
  if (listener.min_protocol < TlsVersion::kTls12) {
    map.near("min_protocol").warning("versions before TLSv1.2 are weak (RFC 8996)");
  }
  const bool plain_beyond_loopback =
      listener.allow_plaintext_login == PlaintextLogin::kAlways && !listener.bind.is_loopback();
  if (listener.tls == ListenerTls::kImplicit && map.find("allow_plaintext_login") != nullptr) {
    map.near("allow_plaintext_login").error("has a meaning with tls: starttls only");
  } else if (plain_beyond_loopback) {
    map.near("allow_plaintext_login").warning("passwords may cross the network in plain text");
  }
}

void check_unique(const Map& map, const Listener& listener, const Config& config) {
  for (const Listener& other : config.listeners) {
    if (other.name == listener.name) {
      map.near("name").error(fmt::format("another listener is called {}", quoted(listener.name)));
    }
    if (other.bind == listener.bind && (listener.bind.port != 0 || listener.bind.is_unix())) {
      map.near("bind").error(fmt::format("listener {} has the same address", quoted(other.name)));
    }
  }
  if (config.admin && *config.admin == listener.bind &&
      (listener.bind.port != 0 || listener.bind.is_unix())) {
    map.near("bind").error("admin has the same address");
  }
}

void read_listener(const Value& value, Config& config) {
  Listener listener;
  const bool has_certificate = !config.certificates.empty();
  listener.tls = has_certificate ? ListenerTls::kStarttls : ListenerTls::kNone;
  const auto map = read_keys<Listener>(value, kListenerKeys, listener);
  if (!map) return;
  if (listener.name.empty()) listener.name = listener.bind.to_string();
  if (map->find("mode") != nullptr && !listener.bind.is_unix()) {
    map->near("mode").error_at_name("has a meaning for unix sockets only");
  }
  if (!listener.proxy_protocol.empty() && listener.bind.is_unix()) {
    map->near("proxy_protocol").error_at_name("has no meaning for unix sockets, whose peers have no address");
  }
  if (listener.tls == ListenerTls::kNone)
    check_without_tls(*map, listener);
  else
    check_with_tls(*map, listener, config);
  note_tls_item(*map, "client_ca", TlsItem::Kind::kAuthorities, listener.client_ca, config);
  // An address that could not be read was reported already and would look like a duplicate.
  const bool has_bind = listener.bind.is_unix() || !listener.bind.host.empty();
  if (has_bind) check_unique(*map, listener, config);
  config.listeners.push_back(std::move(listener));
}

Listener default_listener(std::string name, uint16_t port, ListenerTls tls) {
  Listener listener;
  listener.name = std::move(name);
  listener.bind = {.host = "::", .port = port, .path = {}};
  listener.tls = tls;
  if (tls == ListenerTls::kNone) listener.allow_plaintext_login = PlaintextLogin::kAlways;
  return listener;
}

}  // namespace

void read_certificates(const Value& value, Config& config) {
  std::set<std::string> taken;
  const auto items = value.items();
  if (!items) return;
  for (const Value& item : *items) read_certificate(item, taken, config);
}

void read_listeners(const Value& value, Config& config) {
  const auto items = value.items();
  if (!items) return;
  if (items->empty()) return value.error("must hold at least one listener");
  for (const Value& item : *items) read_listener(item, config);
}

void add_default_listeners(const Value& whole, Config& config) {
  if (config.certificates.empty()) {
    config.listeners.push_back(default_listener("imap", 143, ListenerTls::kNone));
    whole.warning(
        "listeners: without certificates the default listener [::]:143 has no TLS: passwords cross the "
        "network in plain text");
    return;
  }
  config.listeners.push_back(default_listener("imap", 143, ListenerTls::kStarttls));
  config.listeners.push_back(default_listener("imaps", 993, ListenerTls::kImplicit));
}

void note_tls_item(const Map& map, std::string_view key, TlsItem::Kind kind, const std::string& value,
                   Config& config) {
  if (value.empty()) return;
  const Value& found = map.near(key);
  config.tls_items.push_back({kind, found.path(), value, {}, found.place(), {}, {}});
}

void append_listener_keys(std::vector<KeyInfo>& out) {
  append_keys<Certificate>(kCertificateKeys, "certificates[].", out);
  append_keys<Listener>(kListenerKeys, "listeners[].", out);
}

}  // namespace imapmux::config
