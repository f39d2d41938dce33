// A rough look at YAML text, for the faults that yaml-cpp does not notice or reports at the wrong place.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imapmux::config {

struct TextFault {
  int line = 1;  // 1-based
  int column = 1;
  std::string message;
};

// Octets that no YAML file may hold: invalid UTF-8 (RFC 3629), control characters.
std::optional<TextFault> find_bad_character(std::string_view text);
// A tab in the indentation: YAML forbids it, and yaml-cpp takes such a line for the continuation of the one
// above.
std::optional<TextFault> find_tab(std::string_view text);
// The bracket, brace or quote that is never closed. yaml-cpp reports these at the end of the file.
std::optional<TextFault> find_unclosed(std::string_view text);

}  // namespace imapmux::config
