// Where the log's lines go: standard error, with the time and level in front. For log.cc and log_event.cc.
#pragma once

#include <string_view>

#include "base/log.h"

namespace imapmux::base::log {

Format current_format();
std::string_view name_of(Level level);
// `payload`: escaped; as JSON the members behind the level: `"message":"…"`.
void put(Level level, std::string_view payload);

}  // namespace imapmux::base::log
