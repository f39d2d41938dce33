// Patterns for names, as in shells.
#pragma once

#include <string_view>

namespace imapmux::routing {

// True if the whole of `text` matches: `*` stands for any characters, also none, `?` for one (of UTF-8).
// Upper and lower case of ASCII are the same. Takes at most the product of the lengths in time, whatever the
// pattern.
bool matches_pattern(std::string_view pattern, std::string_view text);

}  // namespace imapmux::routing
