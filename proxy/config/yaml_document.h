// From octets to a YAML tree: encoding, syntax, one document only. Problems get the place where they can be
// mended.
#pragma once

#include <yaml-cpp/yaml.h>

#include <optional>
#include <string>
#include <string_view>

#include "config/problems.h"

namespace imapmux::config {

// The root node (null for an empty text); nothing if the text is not YAML, which `problems` then says.
std::optional<YAML::Node> parse_document(std::string_view text, const std::string& file, Problems& problems);

}  // namespace imapmux::config
