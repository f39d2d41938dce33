#include "admin/access.h"

#include <openssl/crypto.h>

#include "base/address.h"
#include "base/bytes.h"

namespace imapmux::admin {
namespace {

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// Of "host:port" and "[::1]:port".
std::string_view name_in(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

// A name that the owner of some other domain can't make his own.
bool is_ours(std::string_view host) {
  const auto name = name_in(host);
  return host.empty() || base::equals_ignore_case(name, "localhost") ||
         base::IpAddress::parse(name).has_value();
}

bool is_foreign_page(const Visit& visit, bool has_token) {
  if (!visit.origin.empty()) {
    const auto at = visit.origin.find("://");
    if (at == std::string::npos ||
        !base::equals_ignore_case(std::string_view(visit.origin).substr(at + 3), visit.host))
      return true;
  }
  return !has_token && visit.way == Way::kLoopback && !is_ours(visit.host);
}

bool is_json(std::string_view content_type) {
  auto type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return base::equals_ignore_case(type, "application/json");
}

}  // namespace

bool shows_token(const Visit& visit, std::string_view token) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view shown = visit.authorization;
  return !token.empty() && base::equals_ignore_case(shown.substr(0, kScheme.size()), kScheme) &&
         same_secret(shown.substr(kScheme.size()), token);
}

Access may_look(const Visit& visit, std::string_view token) {
  if (is_foreign_page(visit, !token.empty())) return Access::kForeignPage;
  const bool granted = token.empty() ? visit.way != Way::kNetwork : shows_token(visit, token);
  return granted ? Access::kGranted : Access::kTokenMissing;
}

Access may_act(const Visit& visit, std::string_view token) {
  const auto access = may_look(visit, token);
  if (access != Access::kGranted) return access;
  return is_json(visit.content_type) ? Access::kGranted : Access::kNotJson;
}

Access may_scrape(const Visit& visit, std::string_view metrics_token, std::string_view token) {
  const bool granted =
      metrics_token.empty() || shows_token(visit, metrics_token) || shows_token(visit, token);
  return granted ? Access::kGranted : Access::kTokenMissing;
}

}  // namespace imapmux::admin
