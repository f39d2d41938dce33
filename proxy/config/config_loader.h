// YAML → Config, with every problem found in one pass, each with its place.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace imapmux::config {

struct Problem {
  std::string file;
  int line = 1;  // 1-based
  int column = 1;
  std::string message;
  std::string to_string() const;  // FILE:LINE:COLUMN: message
};

struct LoadResult {
  ConfigPtr config;               // null if there are problems
  std::vector<Problem> problems;  // in the order of the file
  std::vector<Problem> warnings;
  std::vector<TlsItem> tls_items;  // also where there are problems
};

// Reads and validates a file and what it refers to (users files, certificates, KEY_file). Never throws.
LoadResult load_file(const std::string& path);
// The same for a text; relative paths are relative to `directory`. `name` stands in the messages.
LoadResult load_text(std::string_view yaml, const std::string& name, const std::string& directory);

// The lines that `imapmux check` prints for a valid configuration: listeners, backends, routes.
std::string summary(const Config& config);

}  // namespace imapmux::config
