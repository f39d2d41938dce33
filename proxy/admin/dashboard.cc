#include "admin/dashboard.h"

#include <fmt/core.h>

#include <random>

namespace imapmux::admin {
namespace {

constexpr std::string_view kNonce = "@NONCE@";  // in the page

std::string new_nonce() {
  std::random_device random;  // the kernel's
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace

Dashboard Dashboard::make() {
  const auto nonce = new_nonce();
  Dashboard made{std::string(kDashboardPage), {}};
  for (auto at = made.page.find(kNonce); at != std::string::npos; at = made.page.find(kNonce, at))
    made.page.replace(at, kNonce.size(), nonce);
  made.policy = fmt::format(
      "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; img-src data:; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
      nonce);
  return made;
}

}  // namespace imapmux::admin
