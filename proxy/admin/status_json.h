// The status as JSON: /api/v1/status. Fields may be added; those that are there keep their names and meaning.
#pragma once

#include <string>

#include "session/snapshot.h"

namespace imapmux::admin {

std::string to_json(const session::Snapshot& snapshot);

}  // namespace imapmux::admin
