// Quirks and Violations as text: the command line's option, and the line of JSON that a run ends with.
// Plain functions, callable from any thread.
#pragma once

#include <string>
#include <string_view>

#include "demo/quirks.h"

namespace imapmux::demo {

// What parse_quirks() understands, for --help and its own error texts.
inline constexpr std::string_view kQuirksHelp =
    "second_session=refused|severs|read_only|allowed, status=kills|stale|fine, max_user=N, max_address=N, "
    "no_unselect, no_idle, no_literal_plus, no_uidplus, no_move, no_namespace, idle_silent, latency_ms=N";

// A comma-separated list of the words above; spaces around words don't matter, a later word overrides an
// earlier one, and what is not mentioned is as in Quirks{}. `problem` says what is wrong with the first
// malformed word, and is empty if none is.
Quirks parse_quirks(std::string_view text, std::string& problem);

// One line without its end: {"violations":{"total":1,"second_select":1,...},"texts":["..."]}. Octets that
// are not UTF-8 become U+FFFD.
std::string violations_json(const Violations& violations);

}  // namespace imapmux::demo
