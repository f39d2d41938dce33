#include "wire/lexical.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace imapmux::wire {
namespace {

constexpr std::array<bool, 256> make_astring_chars() {
  std::array<bool, 256> allowed{};
  for (size_t c = 0x21; c < 0x7f; ++c) allowed[c] = true;
  for (char c : std::string_view("(){%*\"\\")) allowed[static_cast<unsigned char>(c)] = false;
  return allowed;
}
constexpr std::array<bool, 256> kAstringChars = make_astring_chars();

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

template <class Number>
std::optional<Number> parse_number(std::string_view digits) {
  if (digits.empty() || !is_digit(digits.front())) return std::nullopt;
  Number value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

void set_size(LiteralHead& head, std::string_view digits) {
  const auto size = parse_number64(digits);
  head.overflow = !size || *size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  head.size = head.overflow ? 0 : *size;
}

}  // namespace

std::optional<LiteralHead> literal_head_at_end(std::string_view line) {
  if (line.empty() || line.back() != '}') return std::nullopt;
  line = line.substr(line.size() - std::min(line.size(), kMaxLiteralHead));
  LiteralHead head;
  size_t end = line.size() - 1;
  if (end > 0 && line[end - 1] == '+') {
    head.plus = true;
    --end;
  }
  size_t begin = end;
  while (begin > 0 && is_digit(line[begin - 1])) --begin;
  if (begin == end || begin == 0 || line[begin - 1] != '{') return std::nullopt;
  set_size(head, line.substr(begin, end - begin));
  --begin;
  if (begin > 0 && line[begin - 1] == '~') {
    head.literal8 = true;
    --begin;
  }
  head.length = line.size() - begin;
  return head;
}

std::optional<LiteralSpan> literal_at(std::string_view text, size_t at) {
  LiteralSpan span;
  size_t i = at;
  if (i < text.size() && text[i] == '~') {
    span.head.literal8 = true;
    ++i;
  }
  if (i >= text.size() || text[i] != '{') return std::nullopt;
  const size_t digits_at = ++i;
  while (i < text.size() && is_digit(text[i])) ++i;
  if (i == digits_at) return std::nullopt;
  set_size(span.head, text.substr(digits_at, i - digits_at));
  if (i < text.size() && text[i] == '+') {
    span.head.plus = true;
    ++i;
  }
  if (i >= text.size() || text[i] != '}') return std::nullopt;
  ++i;
  span.head.length = i - at;
  if (i < text.size() && text[i] == '\r') ++i;
  if (i >= text.size() || text[i] != '\n') return std::nullopt;
  ++i;
  if (span.head.overflow || span.head.size > text.size() - i) return std::nullopt;
  span.octets_at = i;
  span.end = i + static_cast<size_t>(span.head.size);
  return span;
}

size_t quoted_end(std::string_view text, size_t at) {
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '"') return i + 1;
    if (text[i] == '\n') break;
    if (text[i] == '\\') {
      ++i;
      if (i < text.size() && text[i] == '\n') break;
    }
  }
  return std::string_view::npos;
}

bool is_astring_char(char c) {
  return kAstringChars[static_cast<unsigned char>(c)];
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= 255 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c != '+' && is_astring_char(c); });
}

std::optional<uint32_t> parse_number32(std::string_view digits) {
  return parse_number<uint32_t>(digits);
}
std::optional<uint64_t> parse_number64(std::string_view digits) {
  return parse_number<uint64_t>(digits);
}

}  // namespace imapmux::wire
