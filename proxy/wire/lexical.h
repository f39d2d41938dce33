// The lexical pieces that the parsers, the token reader and the writer share (RFC 3501, 9; RFC 7888; RFC
// 3516). Pure functions on octets. Quoted strings and literals mean the same wherever they stand, also within
// brackets, so each function looks at its place only and never at what went before.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace imapmux::wire {

// What {n}, {n+}, ~{n} or ~{n+} says.
struct LiteralHead {
  uint64_t size = 0;
  bool plus = false;      // {n+}: the sender does not wait
  bool literal8 = false;  // ~{n}
  bool overflow = false;  // the number does not fit (more than 2^63 - 1); size means nothing
  size_t length = 0;      // octets from "~" or "{" to and with "}"
};

// The literal head that ends `line` (without its line end). Looks at the last 64 octets only: nobody sends so
// many leading zeros in earnest, and whoever skips a line then needs to remember no more of it.
std::optional<LiteralHead> literal_head_at_end(std::string_view line);
constexpr size_t kMaxLiteralHead = 64;

// A literal that begins at text[at] ("{" or "~{") and is wholly there.
struct LiteralSpan {
  LiteralHead head;
  size_t octets_at = 0;  // the first octet
  size_t end = 0;        // behind the last octet
};
std::optional<LiteralSpan> literal_at(std::string_view text, size_t at);

// `at` is where a quoted string begins; the result is behind its closing quote, npos if there is none.
size_t quoted_end(std::string_view text, size_t at);

// What stands behind an atom, in a command's arguments or in a response.
constexpr std::array<bool, 256> make_atom_ends() {
  std::array<bool, 256> ends{};
  for (const char c : std::string_view(" ()\"{\r\n")) ends[static_cast<unsigned char>(c)] = true;
  return ends;
}
inline constexpr std::array<bool, 256> kAtomEnds = make_atom_ends();
constexpr bool ends_atom(char c) {
  return kAtomEnds[static_cast<unsigned char>(c)];
}

// ASTRING-CHAR of RFC 3501, 9.
bool is_astring_char(char c);
// 1 to 255 octets of ASTRING-CHAR except "+".
bool is_tag(std::string_view text);

// Digits only, no leading sign; nothing if it is empty or does not fit.
std::optional<uint32_t> parse_number32(std::string_view digits);
std::optional<uint64_t> parse_number64(std::string_view digits);

}  // namespace imapmux::wire
