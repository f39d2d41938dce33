// How a client ends IDLE (RFC 2177).
#pragma once

#include <string_view>

#include "base/bytes.h"

namespace imapmux::session {

inline bool is_done(std::string_view line) {
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
  return base::equals_ignore_case(line, "DONE");
}

}  // namespace imapmux::session
