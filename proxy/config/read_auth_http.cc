// auth_http: of a route, the service that says who may come in and where to.
#include <algorithm>
#include <array>

#include "config/choices.h"
#include "config/sections.h"

namespace imapmux::config {

namespace {

constexpr std::string_view kExpectedUrl =
    "http://HOST:PORT/PATH, https://HOST:PORT/PATH or http://unix:/SOCKET:/PATH";

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// What stands behind the server: a path, a query, or nothing.
bool set_target(std::string_view rest, AuthHttp& service) {
  if (rest.find('#') != std::string_view::npos) return false;
  service.target = rest.starts_with('/') ? rest : "/" + std::string(rest);
  return rest.empty() || rest.front() == '/' || rest.front() == '?';
}

// nginx writes the path of a socket between "unix:" and another colon.
bool parse_unix(std::string_view rest, AuthHttp& service) {
  const size_t colon = rest.find(':');
  const auto socket = base::parse_endpoint("unix:" + std::string(rest.substr(0, colon)));
  if (!socket || service.tls) return false;
  service.endpoint = *socket;
  service.host = "localhost";
  return set_target(colon == std::string_view::npos ? "" : rest.substr(colon + 1), service);
}

bool parse_url(std::string_view url, AuthHttp& service) {
  service.tls = url.starts_with("https://");
  if (!is_printable(url) || (!service.tls && !url.starts_with("http://"))) return false;
  url.remove_prefix(url.find("//") + 2);
  if (url.starts_with("unix:")) return parse_unix(url.substr(5), service);
  const auto authority = url.substr(0, url.find_first_of("/?#"));
  const auto endpoint = base::parse_endpoint(authority, service.tls ? 443 : 80);
  if (!endpoint || endpoint->host.empty() || endpoint->port == 0) return false;
  service.endpoint = *endpoint;
  // nginx leaves the port out.
  service.host =
      authority.substr(0, authority.starts_with('[') ? authority.find(']') + 1 : authority.find(':'));
  return set_target(url.substr(authority.size()), service);
}

void read_url(const Value& value, AuthHttp& service) {
  const auto text = value.text(kExpectedUrl);
  if (!text) return;
  if (!parse_url(*text, service)) value.error(fmt::format("must be {}, not {}", kExpectedUrl, quoted(*text)));
  service.url = *text;
}

// RFC 9110, 5.1: a token.
bool is_header_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    const char low = base::to_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool belongs_to_protocol(std::string_view name) {
  for (const std::string_view prefix : {"auth-", "client-", "proxy-protocol-"})
    if (base::starts_with_ignore_case(name, prefix)) return true;
  for (const std::string_view one : {"host", "connection", "content-length", "transfer-encoding"})
    if (base::equals_ignore_case(name, one)) return true;
  return false;
}

void read_headers(const Value& value, AuthHttp& service) {
  const auto map = Map::open(value);
  if (!map) return;
  for (const Map::Entry& entry : map->entries()) {
    if (!is_header_name(entry.key)) {
      entry.value.error_at_name("cannot be the name of a header");
    } else if (belongs_to_protocol(entry.key)) {
      entry.value.error_at_name("is a header of the protocol itself");
    } else if (auto secret = entry.value.secret()) {
      if (base::has_control(secret->view())) entry.value.error("must not contain control characters");
      service.headers.push_back({entry.key, std::move(*secret)});
    }
  }
}

constexpr std::array kAuthHttpKeys = std::to_array<Key<AuthHttp>>({
    {"url", read_url, "URL", kRequired, Reload::kApplies,
     "http://HOST:PORT/PATH, https://HOST:PORT/PATH, or http://unix:/SOCKET:/PATH as nginx writes it."},
    {"timeout", read_duration<&AuthHttp::timeout>, "duration", "10s", Reload::kApplies,
     "How long one request may take, with connecting and waiting for its turn."},
    {"header", read_headers, "map", "{}", Reload::kApplies,
     "Headers added to each request, such as X-Auth-Key with a secret that the service knows."},
    {"max_connections", read_integer<&AuthHttp::max_connections, 1, 10'000>, "1..10000", "64",
     Reload::kApplies, "How many requests may be under way at once; further logins wait for their turn."},
    {"tls_verify", read_choice<&AuthHttp::tls_verify, kTlsVerifyChoices>, "full, ca, none", "full",
     Reload::kApplies, "Of https: what of the service's certificate is checked, as of a backend's."},
    {"ca", read_file_path<&AuthHttp::ca>, "file", "(the system's)", Reload::kApplies,
     "Of https: PEM file with the authorities to trust."},
});

}  // namespace

void read_auth_http(const Value& value, Route& route) {
  AuthHttp service;
  if (value.is_scalar()) {
    read_url(value, service);
  } else if (const auto map = read_keys<AuthHttp>(value, kAuthHttpKeys, service)) {
    for (const std::string_view key : {"tls_verify", "ca"}) {
      const Value* found = map->find(key);
      if (found != nullptr && !service.tls) found->error_at_name("has no meaning without https");
    }
  }
  route.auth_http = std::move(service);
}

void note_auth_http(const Value& value, const AuthHttp& service, Config& config) {
  if (!service.ca.empty())
    config.tls_items.push_back(
        {TlsItem::Kind::kAuthorities, value.path_of("ca"), service.ca, {}, value.place(), {}, {}});
  const bool near = service.endpoint.is_unix() || service.endpoint.is_loopback();
  if (!service.tls && !near && !service.url.empty())
    value.warning("passwords cross the network in plain text");
  if (service.tls_verify == TlsVerify::kNone)
    value.warning("the service's certificate is not checked: anybody in between can read passwords");
}

void append_auth_http_keys(std::vector<KeyInfo>& out) {
  append_keys<AuthHttp>(kAuthHttpKeys, "routes[].auth_http.", out);
}

}  // namespace imapmux::config
