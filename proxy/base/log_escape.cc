#include "base/log_escape.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace imapmux::base::log {
namespace {

// The character at the front of a text.
struct Character {
  std::string_view octets;
  uint32_t code = 0;
  bool valid = true;  // else one octet that begins no UTF-8
};

// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
Character first_of(std::string_view text) {
  const auto octet = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const uint32_t lead = octet(0);
  const Character invalid{text.substr(0, 1), lead, false};
  if (lead < 0x80) return {text.substr(0, 1), lead};
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || text.size() < length) return invalid;
  uint32_t code = lead & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((octet(i) & 0xc0) != 0x80) return invalid;
    code = code << 6 | (octet(i) & 0x3fU);
  }
  const uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < least || code > 0x10ffff || surrogate) return invalid;
  return {text.substr(0, length), code};
}

bool is_harmless(const Character& c) {
  if (!c.valid || c.code < 0x20) return false;
  if (c.code >= 0x7f && c.code <= 0x9f) return false;
  const bool separates_or_turns = c.code >= 0x2028 && c.code <= 0x202e;
  const bool isolates = c.code >= 0x2066 && c.code <= 0x2069;
  return !separates_or_turns && !isolates;
}

void append_octets(std::string& out, std::string_view octets, std::string_view backslash) {
  for (const char c : octets)
    fmt::format_to(std::back_inserter(out), "{}x{:02x}", backslash, static_cast<unsigned char>(c));
}

template <class Append>
void for_each_character(std::string_view text, Append append) {
  while (!text.empty()) {
    const Character c = first_of(text);
    append(c);
    text.remove_prefix(c.octets.size());
  }
}

bool is_one_word(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return c == ' ' || c == '"' || c == '=' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
  });
}

}  // namespace

void append_printable(std::string& out, std::string_view text) {
  for_each_character(text, [&](const Character& c) {
    if (is_harmless(c))
      out += c.octets;
    else
      append_octets(out, c.octets, "\\");
  });
}

void append_word(std::string& out, std::string_view text) {
  if (is_one_word(text)) return append_printable(out, text);
  out += '"';
  for_each_character(text, [&](const Character& c) {
    if (c.code == '"' || c.code == '\\') out += '\\';
    append_printable(out, c.octets);
  });
  out += '"';
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for_each_character(text, [&](const Character& c) {
    if (!c.valid)
      append_octets(out, c.octets, "\\\\");
    else if (!is_harmless(c))
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c.code);
    else if (c.code == '"' || c.code == '\\')
      out.append("\\").append(c.octets);
    else
      out += c.octets;
  });
  out += '"';
}

}  // namespace imapmux::base::log
