// The status for a terminal, from the JSON of a running process, which may be of another version: what is not
// there is left out.
#pragma once

#include <string>

namespace imapmux::admin {

// `before`: the JSON of a moment ago, for rates; may be empty. Throws std::runtime_error if it is no JSON.
std::string to_text(const std::string& status, const std::string& before = {});

}  // namespace imapmux::admin
