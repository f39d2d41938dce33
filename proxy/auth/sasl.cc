#include "auth/sasl.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

namespace imapmux::auth {

namespace {

constexpr size_t kLongestMessage = 8192;
constexpr char kNul = '\0';
constexpr char kSeparator = '\x01';  // between the fields of both OAuth mechanisms
constexpr std::string_view kScheme = "Bearer ";

// Joins parts that may be secret without leaving copies in memory.
base::Secret join(std::initializer_list<std::string_view> parts) {
  size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  std::string out;
  out.reserve(size);
  for (const std::string_view part : parts) out += part;
  base::Secret secret(std::move(out));
  base::wipe(out);  // a short string moves by copying
  return secret;
}

base::Secret secret_of(std::string_view text) {
  return join({text});
}

Credential make_credential(config::Mechanism mechanism, std::string_view user, std::string_view secret) {
  Credential credential;
  credential.mechanism = mechanism;
  credential.authentication_id = user;
  credential.secret = secret_of(secret);
  return credential;
}

// Takes what stands before the next `separator` off `text`, and the separator.
std::optional<std::string_view> take_until(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end + 1);
  return taken;
}

// RFC 6750, 2.1: b64token; other visible characters are let pass, spaces and controls are not.
std::optional<std::string_view> bearer_token(std::string_view value) {
  if (!base::starts_with_ignore_case(value, kScheme)) return std::nullopt;
  const std::string_view token = value.substr(kScheme.size());
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (token.empty() || !visible) return std::nullopt;
  return token;
}

// The fields "name=value" of RFC 7628, 3.1, up to the empty one that ends them: the token in "auth". Nothing
// if it is not there exactly once, or if something follows.
std::optional<std::string_view> token_of_fields(std::string_view fields) {
  std::optional<std::string_view> token;
  while (true) {
    auto field = take_until(fields, kSeparator);
    if (!field) return std::nullopt;
    if (field->empty()) return fields.empty() ? token : std::nullopt;
    const auto name = take_until(*field, '=');
    if (!name || name->empty()) return std::nullopt;
    if (*name != "auth") continue;
    if (token) return std::nullopt;
    token = bearer_token(*field);
    if (!token) return std::nullopt;
  }
}

// RFC 5801, 4: in the GS2 header a "," is written "=2C" and a "=" "=3D".
std::string escape_saslname(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == ',')
      out += "=2C";
    else if (c == '=')
      out += "=3D";
    else
      out += c;
  }
  return out;
}

std::optional<std::string> unescape_saslname(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const bool escaped = name.front() == '=';
    const bool comma = name.starts_with("=2C");
    if (escaped && !comma && !name.starts_with("=3D")) return std::nullopt;
    if (escaped)
      out += comma ? ',' : '=';
    else
      out += name.front();
    name.remove_prefix(escaped ? 3 : 1);
  }
  return out;
}

bool acts_for_another(const Credential& credential) {
  return !credential.authorization_id.empty() && credential.authorization_id != credential.authentication_id;
}

}  // namespace

Credential Credential::clone() const {
  Credential copy;
  copy.mechanism = mechanism;
  copy.authentication_id = authentication_id;
  copy.authorization_id = authorization_id;
  copy.secret = secret_of(secret.view());
  return copy;
}

// RFC 4616, 2: message = [authzid] NUL authcid NUL passwd.
std::optional<Credential> parse_plain(std::string_view message) {
  if (message.size() > kLongestMessage) return std::nullopt;
  const auto authzid = take_until(message, kNul);
  const auto authcid = take_until(message, kNul);
  if (!authzid || !authcid || authcid->empty() || message.empty()) return std::nullopt;
  if (message.find(kNul) != std::string_view::npos) return std::nullopt;
  Credential credential = make_credential(config::Mechanism::kPlain, *authcid, message);
  credential.authorization_id = *authzid;
  return credential;
}

std::optional<Credential> parse_xoauth2(std::string_view message) {
  if (message.size() > kLongestMessage) return std::nullopt;
  const auto user = take_until(message, kSeparator);
  if (!user || !user->starts_with("user=") || user->size() == 5) return std::nullopt;
  const auto token = token_of_fields(message);
  if (!token) return std::nullopt;
  return make_credential(config::Mechanism::kXoauth2, user->substr(5), *token);
}

// RFC 7628, 3.1. The authorization identity may be left out there; here it may not, since nothing else names
// the user.
std::optional<Credential> parse_oauthbearer(std::string_view message) {
  if (message.size() > kLongestMessage) return std::nullopt;
  const auto binding = take_until(message, ',');
  const auto identity = take_until(message, ',');
  const auto nothing = take_until(message, kSeparator);
  if (!binding || !identity || !nothing || !nothing->empty()) return std::nullopt;
  if (*binding != "n" && *binding != "y") return std::nullopt;  // "p=": channel binding, which no one offered
  if (!identity->starts_with("a=")) return std::nullopt;
  const auto user = unescape_saslname(identity->substr(2));
  const auto token = token_of_fields(message);
  if (!user || user->empty() || !token) return std::nullopt;
  return make_credential(config::Mechanism::kOauthbearer, *user, *token);
}

base::Secret compose_plain(const Credential& credential, std::string_view login_name) {
  const std::string_view nul("\0", 1);
  if (acts_for_another(credential)) {
    return join({login_name, nul, credential.authentication_id, nul, credential.secret.view()});
  }
  return join({nul, login_name, nul, credential.secret.view()});
}

base::Secret compose_xoauth2(const Credential& credential, std::string_view login_name) {
  return join({"user=", login_name, "\x01", "auth=Bearer ", credential.secret.view(), "\x01\x01"});
}

base::Secret compose_oauthbearer(const Credential& credential, std::string_view login_name) {
  const std::string name = escape_saslname(login_name);
  return join({"n,a=", name, ",\x01", "auth=Bearer ", credential.secret.view(), "\x01\x01"});
}

}  // namespace imapmux::auth
