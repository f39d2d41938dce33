// The status as JSON (/api/v1/status) and as text for a terminal.
#pragma once

#include <string>

#include "session/snapshot.h"

namespace imapmux::admin {

std::string to_json(const session::Snapshot& snapshot);
// From the JSON of a running process; nothing is assumed of its version but the names of the fields that are
// there. Throws std::runtime_error if it is no JSON.
std::string to_text(const std::string& json);

}  // namespace imapmux::admin
