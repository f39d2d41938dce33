// What peers say, made fit for a log: valid UTF-8 that can neither end a line nor steer a terminal. Pure.
#pragma once

#include <string>
#include <string_view>

namespace imapmux::base::log {

// Appends `text` with control characters (C0, DEL, C1), line separators, bidirectional overrides and octets
// that are no UTF-8 as \x1b: octet by octet. What else it says stays as it is, backslashes too.
void append_printable(std::string& out, std::string_view text);

// As a word of a line of text: in double quotes, with \" and \\, if it could be taken for more than one word.
void append_word(std::string& out, std::string_view text);

// As a JSON string, quotes included (RFC 8259). Octets that are no UTF-8 become the text \x80.
void append_json(std::string& out, std::string_view text);

}  // namespace imapmux::base::log
