// Base64 (RFC 4648, 4), strictly; of our own so that nothing of a secret stays in buffers of a library.
#include <algorithm>
#include <array>

#include "auth/sasl.h"

namespace imapmux::auth {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kInvalid = 64;

constexpr std::array<uint8_t, 256> make_values() {
  std::array<uint8_t, 256> values{};
  values.fill(kInvalid);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<uint8_t>(i);
  return values;
}

constexpr std::array<uint8_t, 256> kValues = make_values();

uint32_t octet(std::string_view octets, size_t index) {
  return index < octets.size() ? static_cast<unsigned char>(octets[index]) : 0U;
}

// Appends what `text`, 2 to 4 characters without padding, stands for. False for foreign characters and for
// bits behind the last octet that are not zero.
bool append_group(std::string_view text, std::string& out) {
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) {
    const uint8_t value = i < text.size() ? kValues[octet(text, i)] : uint8_t{0};
    if (value == kInvalid) return false;
    bits = bits << 6 | value;
  }
  const size_t octets = text.size() - 1;
  for (size_t i = 0; i < octets; ++i) out += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
  return octets == 3 || (bits & (0xffffffU >> (8 * octets))) == 0;
}

}  // namespace

std::optional<base::Secret> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);  // at once: growing would leave copies behind
  bool valid = true;
  for (; valid && !text.empty(); text.remove_prefix(std::min<size_t>(4, text.size()))) {
    valid = append_group(text.substr(0, 4), out);
  }
  base::Secret secret(std::move(out));
  base::wipe(out);  // a short string moves by copying
  if (!valid) return std::nullopt;
  return secret;
}

std::string encode_base64(std::string_view octets) {
  std::string out;
  out.reserve((octets.size() + 2) / 3 * 4);
  for (size_t at = 0; at < octets.size(); at += 3) {
    const uint32_t bits = octet(octets, at) << 16 | octet(octets, at + 1) << 8 | octet(octets, at + 2);
    const size_t present = std::min<size_t>(3, octets.size() - at);
    for (size_t i = 0; i < 4; ++i) out += i <= present ? kAlphabet[bits >> (18 - 6 * i) & 0x3f] : '=';
  }
  return out;
}

}  // namespace imapmux::auth
