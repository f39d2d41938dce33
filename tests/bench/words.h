// Words of a command, for the benchmark's fake servers.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace bench {

// Takes the word before the next space off the front.
inline std::string_view word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

inline std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return result;
}

}  // namespace bench
