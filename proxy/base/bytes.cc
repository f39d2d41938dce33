#include "base/bytes.h"

#include <string.h>

#include <algorithm>

namespace imapmux::base {

bool same_ignoring_case(std::string_view a, std::string_view b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && to_lower(a[i]) != to_lower(b[i])) return false;
  return true;
}

bool starts_with_ignore_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && equals_ignore_case(text.substr(0, prefix.size()), prefix);
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_upper);
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), to_lower);
  return out;
}

void wipe(std::string& secret) noexcept {
  secret.resize(secret.capacity());  // never allocates: it grows into what is there
  explicit_bzero(secret.data(), secret.size());
  secret.clear();
}

}  // namespace imapmux::base
