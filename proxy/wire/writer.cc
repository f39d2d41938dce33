#include "wire/writer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "wire/lexical.h"

namespace imapmux::wire {
namespace {

constexpr size_t kMaxQuoted = 1'000;
constexpr size_t kMaxText = 400;

// What write_command() can't simply pass on.
constexpr std::array<bool, 256> make_needs_care() {
  std::array<bool, 256> needs{};
  for (const char c : std::string_view("\"{~\r\n\0", 6)) needs[static_cast<unsigned char>(c)] = true;
  return needs;
}
constexpr std::array<bool, 256> kNeedsCare = make_needs_care();

// "NIL" would be read as nothing, and some servers take brackets for the section of a FETCH.
bool can_be_atom(std::string_view value) {
  return !value.empty() && !base::equals_ignore_case(value, "NIL") &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return is_astring_char(c) && c != '[' && c != ']'; });
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

// Adds the literal to the last piece, or ends that piece with the literal's head.
void append_literal(std::vector<std::string>& pieces, const LiteralHead& head, std::string_view octets,
                    LiteralForm form) {
  // Control characters are legal in quoted strings, but not every server takes them there.
  if (!head.literal8 && quotable(octets) && !has_control_character(octets)) {
    write_quoted(pieces.back(), octets);
    return;
  }
  if (head.literal8) pieces.back() += '~';
  pieces.back() += '{';
  pieces.back() += std::to_string(octets.size());
  pieces.back() += form == LiteralForm::kPlus ? "+}\r\n" : "}\r\n";
  if (form == LiteralForm::kSynchronising) pieces.emplace_back();
  pieces.back() += octets;
}

}  // namespace

bool quotable(std::string_view value) {
  return value.size() <= kMaxQuoted && std::all_of(value.begin(), value.end(), [](char c) {
           return c != '\r' && c != '\n' && c != '\0' && static_cast<unsigned char>(c) <= 0x7e;
         });
}

void write_astring(std::string& out, std::string_view value) {
  if (can_be_atom(value)) {
    out += value;
  } else {
    write_quoted(out, value);
  }
}

void write_quoted(std::string& out, std::string_view value) {
  out += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void write_string(std::string& out, std::string_view value) {
  if (quotable(value)) {
    write_quoted(out, value);
  } else {
    out += literal_head(value.size(), Literal8::kNo, LiteralForm::kSynchronising);
    out += value;
  }
}

std::string literal_head(uint64_t size, Literal8 kind, LiteralForm form) {
  std::string head = kind == Literal8::kYes ? "~{" : "{";
  head += std::to_string(size);
  return head + (form == LiteralForm::kPlus ? "+}\r\n" : "}\r\n");
}

void write_text(std::string& out, std::string_view text) {
  for (const char c : text.substr(0, kMaxText)) {
    const auto octet = static_cast<unsigned char>(c);
    out += octet >= 0x20 && octet <= 0x7e ? c : '?';
  }
}

bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return kNeedsCare[static_cast<unsigned char>(c)]; });
}

OutgoingCommand write_command(std::string_view tag, std::string_view text, LiteralForm form) {
  std::vector<std::string> pieces(1);
  pieces.back().reserve(tag.size() + text.size() + 3);
  pieces.back() += tag;
  pieces.back() += ' ';
  size_t i = 0;
  size_t unwritten_at = 0;  // from here to i is passed on as it came
  const auto write_up_to_here = [&] { pieces.back() += text.substr(unwritten_at, i - unwritten_at); };
  for (;;) {
    while (i < text.size() && !kNeedsCare[static_cast<unsigned char>(text[i])]) ++i;
    if (i == text.size()) break;
    const char c = text[i];
    if (c == '"') {
      const size_t end = quoted_end(text, i);
      // What is not checked here could end the line, and the backend would take the rest for another command.
      if (end == std::string_view::npos) return {};
      const std::string_view quoted = text.substr(i, end - i);
      if (quoted.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) return {};
      i = end;
    } else if (c == '{' || (c == '~' && i + 1 < text.size() && text[i + 1] == '{')) {
      // Behind anything else, a backend may well take the octets for commands.
      const bool begins_argument = i > unwritten_at && (text[i - 1] == ' ' || text[i - 1] == '(');
      const auto literal = literal_at(text, i);
      if (!literal || !begins_argument) return {};
      write_up_to_here();
      append_literal(pieces, literal->head,
                     text.substr(literal->octets_at, literal->end - literal->octets_at), form);
      i = literal->end;
      unwritten_at = i;
    } else if (c == '\r' || c == '\n' || c == '\0') {
      return {};
    } else {
      ++i;
    }
  }
  write_up_to_here();
  pieces.back() += "\r\n";
  return {std::move(pieces)};
}

}  // namespace imapmux::wire
