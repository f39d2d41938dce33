// What a probe prints: the table in plain words (with the dialogue, if it is asked for) and the section to
// paste; or all of it as JSON. Pure.
#pragma once

#include <string>

#include "probe/options.h"
#include "probe/verdict.h"

namespace imapmux::probe {

enum class Detail : uint8_t { kTable, kDialogue };

std::string to_text(const Options& options, const Findings& findings, Detail detail);
std::string to_json(const Options& options, const Findings& findings);

}  // namespace imapmux::probe
