#include "wire/mailbox_name.h"

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace imapmux::wire {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return values;
}
constexpr std::array<int8_t, 256> kValues = make_values();

bool is_printable(uint32_t c) {
  return c >= 0x20 && c <= 0x7e;
}
bool is_high_surrogate(uint32_t unit) {
  return unit >= 0xd800 && unit <= 0xdbff;
}
bool is_low_surrogate(uint32_t unit) {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

void append_utf8(std::string& out, uint32_t c) {
  const auto continuation = [&](unsigned shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    continuation(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    continuation(6);
    continuation(0);
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

// The character at the front of `utf8`, which is removed; nothing if it is malformed (RFC 3629, 4).
std::optional<uint32_t> take_utf8(std::string_view& utf8) {
  const auto lead = static_cast<unsigned char>(utf8.front());
  const size_t length = lead < 0x80 ? 1 : (lead & 0xe0) == 0xc0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : 4;
  if (length == 4 && (lead & 0xf8) != 0xf0) return std::nullopt;
  if (utf8.size() < length) return std::nullopt;
  uint32_t c = length == 1 ? lead : lead & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto octet = static_cast<unsigned char>(utf8[i]);
    if ((octet & 0xc0) != 0x80) return std::nullopt;
    c = (c << 6) | (octet & 0x3f);
  }
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (c < kSmallest[length] || c > 0x10ffff || is_high_surrogate(c) || is_low_surrogate(c))
    return std::nullopt;
  utf8.remove_prefix(length);
  return c;
}

// The inside of &...-: UTF-16 in base64, without padding.
bool decode_shifted(std::string& out, std::string_view base64) {
  uint32_t bits = 0;
  unsigned bit_count = 0;
  uint32_t high = 0;
  for (const char c : base64) {
    const int8_t value = kValues[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    bit_count += 6;
    if (bit_count < 16) continue;
    bit_count -= 16;
    const uint32_t unit = (bits >> bit_count) & 0xffff;
    bits &= (1U << bit_count) - 1;
    if (is_low_surrogate(unit) != (high != 0)) return false;
    if (is_high_surrogate(unit)) {
      high = unit;
    } else if (high != 0) {
      append_utf8(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
      high = 0;
    } else {
      append_utf8(out, unit);
    }
  }
  return high == 0 && bit_count < 6 && bits == 0;
}

class ShiftedWriter {
 public:
  explicit ShiftedWriter(std::string& out) : out_(out) {}

  void put(uint32_t c) {
    if (!open_) {
      out_ += '&';
      open_ = true;
    }
    if (c >= 0x10000) {
      put_unit(0xd800 + ((c - 0x10000) >> 10));
      put_unit(0xdc00 + ((c - 0x10000) & 0x3ff));
    } else {
      put_unit(c);
    }
  }

  void close() {
    if (!open_) return;
    if (bit_count_ > 0) out_ += kAlphabet[(bits_ << (6 - bit_count_)) & 0x3f];
    out_ += '-';
    open_ = false;
    bits_ = 0;
    bit_count_ = 0;
  }

 private:
  void put_unit(uint32_t unit) {
    bits_ = (bits_ << 16) | unit;
    bit_count_ += 16;
    while (bit_count_ >= 6) {
      bit_count_ -= 6;
      out_ += kAlphabet[(bits_ >> bit_count_) & 0x3f];
    }
    bits_ &= (1U << bit_count_) - 1;
  }

  std::string& out_;
  bool open_ = false;
  uint32_t bits_ = 0;
  unsigned bit_count_ = 0;
};

}  // namespace

std::optional<std::string> decode_modified_utf7(std::string_view name) {
  std::string out;
  out.reserve(name.size());
  while (!name.empty()) {
    const char c = name.front();
    if (!is_printable(static_cast<unsigned char>(c))) return std::nullopt;
    name.remove_prefix(1);
    if (c != '&') {
      out += c;
      continue;
    }
    const size_t end = name.find('-');
    if (end == std::string_view::npos) return std::nullopt;
    if (end == 0) {
      out += '&';
    } else if (!decode_shifted(out, name.substr(0, end))) {
      return std::nullopt;
    }
    name.remove_prefix(end + 1);
  }
  return out;
}

std::optional<std::string> encode_modified_utf7(std::string_view utf8) {
  std::string out;
  out.reserve(utf8.size());
  ShiftedWriter shifted(out);
  while (!utf8.empty()) {
    const auto c = take_utf8(utf8);
    if (!c) return std::nullopt;
    if (!is_printable(*c)) {
      shifted.put(*c);
      continue;
    }
    shifted.close();
    out += static_cast<char>(*c);
    if (*c == '&') out += '-';
  }
  shifted.close();
  return out;
}

std::string canonical_mailbox_name(std::string_view name, char delimiter) {
  std::string canonical(name);
  if (name.find('&') != std::string_view::npos) {
    if (const auto decoded = decode_modified_utf7(name)) {
      if (auto encoded = encode_modified_utf7(*decoded)) canonical = std::move(*encoded);
    }
  }
  if (delimiter != 0 && canonical.size() > 1 && canonical.back() == delimiter) canonical.pop_back();
  constexpr std::string_view kInbox = "INBOX";
  const bool ends_level =
      canonical.size() == kInbox.size() ||
      (canonical.size() > kInbox.size() && delimiter != 0 && canonical[kInbox.size()] == delimiter);
  if (ends_level && base::starts_with_ignore_case(canonical, kInbox))
    canonical.replace(0, kInbox.size(), kInbox);
  return canonical;
}

bool is_inferior(std::string_view name, std::string_view parent, char delimiter) {
  return delimiter != 0 && name.size() > parent.size() + 1 && name.starts_with(parent) &&
         name[parent.size()] == delimiter;
}

}  // namespace imapmux::wire
