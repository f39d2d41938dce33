#include "demo/encoding.h"

#include <cstdint>

#include "base/bytes.h"

namespace imapmux::demo {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = base::to_upper(c);
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// `underscore`: "_" is a space, as in encoded words (RFC 2047, 4.2).
std::string decode_hex(std::string_view text, bool underscore) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && underscore) {
      out += ' ';
      continue;
    }
    if (text[i] != '=') {
      out += text[i];
      continue;
    }
    if (text.substr(i + 1, 2) == "\r\n") {
      i += 2;
    } else if (text.substr(i + 1, 1) == "\n") {
      i += 1;
    } else if (i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += '=';
    }
  }
  return out;
}

// The encoded word at the front of `text`, which is then consumed.
std::optional<std::string> encoded_word(std::string_view& text) {
  if (!text.starts_with("=?")) return std::nullopt;
  size_t encoding = text.find('?', 2);
  if (encoding == std::string_view::npos || encoding + 2 >= text.size() || text[encoding + 2] != '?')
    return std::nullopt;
  size_t end = text.find("?=", encoding + 3);
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view charset = text.substr(2, encoding - 2);
  charset = charset.substr(0, charset.find('*'));  // RFC 2231, 5: a language
  std::string_view body = text.substr(encoding + 3, end - encoding - 3);
  std::optional<std::string> decoded;
  char kind = base::to_upper(text[encoding + 1]);
  if (kind == 'B') decoded = decode_base64(body);
  if (kind == 'Q') decoded = decode_hex(body, true);
  if (!decoded) return std::nullopt;
  text.remove_prefix(end + 2);
  return to_utf8(*decoded, charset);
}

}  // namespace

std::string encode_base64(std::string_view octets) {
  std::string out;
  for (size_t i = 0; i < octets.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < octets.size() ? static_cast<uint8_t>(octets[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k)
      out += i + k <= octets.size() ? kAlphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::optional<std::string> decode_base64(std::string_view text) {
  std::string out;
  uint32_t group = 0;
  unsigned digits = 0;
  unsigned padding = 0;
  for (char c : text) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos || padding != 0) return std::nullopt;
    group = group << 6 | static_cast<uint32_t>(value);
    if (++digits % 4 == 0) {
      for (int shift : {16, 8, 0}) out += static_cast<char>(group >> shift & 0xff);
      group = 0;
    }
  }
  unsigned left = digits % 4;
  if (left == 1 || (padding != 0 && (digits + padding) % 4 != 0)) return std::nullopt;
  if (left == 2) out += static_cast<char>(group >> 4 & 0xff);
  if (left == 3) {
    out += static_cast<char>(group >> 10 & 0xff);
    out += static_cast<char>(group >> 2 & 0xff);
  }
  return out;
}

std::string decode_quoted_printable(std::string_view text) {
  return decode_hex(text, false);
}

std::string to_utf8(std::string_view text, std::string_view charset) {
  if (!base::equals_ignore_case(charset, "iso-8859-1") &&
      !base::equals_ignore_case(charset, "windows-1252") &&
      !base::equals_ignore_case(charset, "iso-8859-15")) {
    return std::string(text);
  }
  std::string out;
  for (char c : text) {
    auto octet = static_cast<uint8_t>(c);
    if (octet < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | octet >> 6);
      out += static_cast<char>(0x80 | (octet & 0x3f));
    }
  }
  return out;
}

std::string decode_encoded_words(std::string_view text) {
  std::string out;
  size_t pending_space = 0;  // white space between two encoded words is dropped (RFC 2047, 6.2)
  bool after_word = false;
  while (!text.empty()) {
    if (auto word = encoded_word(text)) {
      if (after_word) out.resize(out.size() - pending_space);
      out += *word;
      after_word = true;
      pending_space = 0;
      continue;
    }
    char c = text.front();
    text.remove_prefix(1);
    out += c;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      ++pending_space;
    } else {
      after_word = false;
      pending_space = 0;
    }
  }
  return out;
}

}  // namespace imapmux::demo
