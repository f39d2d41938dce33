#include "config/environment.h"

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "config/scalars.h"

namespace imapmux::config {

namespace {

bool is_name(std::string_view name) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    const char low = base::to_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// What stands between the braces.
Expansion expand_reference(std::string_view reference, const Lookup& lookup) {
  const size_t separator = reference.find(":-");
  const std::string name(reference.substr(0, separator));
  if (!is_name(name)) return {{}, quoted(name) + " is not the name of an environment variable"};
  std::optional<std::string> value = lookup(name);
  if (separator == std::string_view::npos) {
    if (!value) return {{}, "the environment variable " + name + " is not set"};
    return {std::move(*value), {}};
  }
  if (value && !value->empty()) return {std::move(*value), {}};
  return {std::string(reference.substr(separator + 2)), {}};
}

}  // namespace

Expansion expand_environment(std::string_view text, const Lookup& lookup) {
  Expansion out;
  while (true) {
    const size_t dollar = text.find('$');
    out.text += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return out;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out.text += '$';
      text.remove_prefix(1);
      continue;
    }
    if (!text.starts_with('{')) {
      out.text += '$';
      continue;
    }
    const size_t close = text.find('}');
    if (close == std::string_view::npos) return {{}, "\"${\" without \"}\"; a plain \"$\" is written \"$$\""};
    Expansion part = expand_reference(text.substr(1, close - 1), lookup);
    if (!part.error.empty()) return part;
    out.text += part.text;
    base::wipe(part.text);
    text.remove_prefix(close + 1);
  }
}

Expansion expand_environment(std::string_view text) {
  return expand_environment(text, [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  });
}

}  // namespace imapmux::config
