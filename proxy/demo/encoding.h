// Transfer encodings and encoded words (RFC 2045, 6; RFC 2047), as far as SEARCH and SASL need them. Plain
// functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imapmux::demo {

std::string encode_base64(std::string_view octets);
// White space is skipped; nothing if anything else is wrong.
std::optional<std::string> decode_base64(std::string_view text);
// Soft line breaks and =XX; what is malformed stays as it is.
std::string decode_quoted_printable(std::string_view text);
// UTF-8 of `text` in `charset`; charsets other than ISO-8859-1 and its Windows sister are taken as UTF-8.
std::string to_utf8(std::string_view text, std::string_view charset);
// A header's text with its encoded words decoded to UTF-8.
std::string decode_encoded_words(std::string_view text);

}  // namespace imapmux::demo
