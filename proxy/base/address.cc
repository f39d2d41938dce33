#include "base/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"

namespace imapmux::base {

namespace {

constexpr size_t kMaxUnixPath = 107;    // sockaddr_un::sun_path without its NUL
constexpr size_t kMaxHostName = 253;    // RFC 1035, 2.3.4
constexpr size_t kMaxAddressText = 45;  // INET6_ADDRSTRLEN without its NUL
constexpr int kMappedBits = 96;         // of ::ffff:0:0/96 before the IPv4 address
constexpr std::array<uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// Decimal digits only, nothing around them.
std::optional<int> parse_number(std::string_view text, int max) {
  if (text.empty() || text.size() > 5 || text.front() < '0' || text.front() > '9') return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

bool is_host_name(std::string_view host) {
  if (host.size() > kMaxHostName || host.front() == '.' || host.front() == '-') return false;
  return std::all_of(host.begin(), host.end(), [](char c) {
    const char low = to_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  });
}

std::optional<Endpoint> parse_unix(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.size() > kMaxUnixPath) return std::nullopt;
  if (path.find('\0') != std::string_view::npos) return std::nullopt;
  return Endpoint{.host = {}, .port = 0, .path = std::string(path)};
}

// What stands behind the host: ":port", or nothing if there is a default.
std::optional<uint16_t> parse_port(std::string_view rest, uint16_t default_port) {
  if (rest.empty()) return default_port == 0 ? std::nullopt : std::optional(default_port);
  if (rest.front() != ':') return std::nullopt;
  const auto port = parse_number(rest.substr(1), 65535);
  if (!port) return std::nullopt;
  return static_cast<uint16_t>(*port);
}

// Sets the bits behind the first `prefix` ones to zero.
std::array<uint8_t, 16> mask(std::array<uint8_t, 16> bytes, int prefix) {
  for (int i = 0; i < 16; ++i) {
    const int kept = std::clamp(prefix - 8 * i, 0, 8);
    bytes[static_cast<size_t>(i)] &= static_cast<uint8_t>(0xff << (8 - kept));
  }
  return bytes;
}

}  // namespace

std::string Endpoint::to_string() const {
  if (is_unix()) return "unix:" + path;
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool Endpoint::is_loopback() const {
  if (is_unix() || equals_ignore_case(host, "localhost")) return true;
  const auto address = IpAddress::parse(host);
  return address && address->is_loopback();
}

std::optional<Endpoint> parse_endpoint(std::string_view text, uint16_t default_port) {
  if (text.starts_with("unix:")) return parse_unix(text.substr(5));
  std::string_view host;
  std::string_view rest;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    if (host.find(':') == std::string_view::npos || !IpAddress::parse(host)) return std::nullopt;
  } else {
    host = text.substr(0, text.find(':'));
    rest = text.substr(host.size());
    if (text.empty() || (!host.empty() && !is_host_name(host))) return std::nullopt;
  }
  const auto port = parse_port(rest, default_port);
  if (!port) return std::nullopt;
  return Endpoint{.host = std::string(host), .port = *port, .path = {}};
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.empty() || text.size() > kMaxAddressText || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  const std::string terminated(text);
  IpAddress result;
  if (text.find(':') != std::string_view::npos) {
    if (inet_pton(AF_INET6, terminated.c_str(), result.bytes_.data()) != 1) return std::nullopt;
    return result;
  }
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), result.bytes_.begin());
  if (inet_pton(AF_INET, terminated.c_str(), result.bytes_.data() + kMappedPrefix.size()) != 1)
    return std::nullopt;
  return result;
}

IpAddress IpAddress::from_bytes(const std::array<uint8_t, 16>& mapped) {
  IpAddress result;
  result.bytes_ = mapped;
  return result;
}

bool IpAddress::is_v4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes_.begin());
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](uint8_t b) { return b == 0; }) && bytes_[15] == 1;
}

std::string IpAddress::to_string() const {
  if (is_v4()) return fmt::format("{}.{}.{}.{}", bytes_[12], bytes_[13], bytes_[14], bytes_[15]);
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

std::string IpAddress::party() const {
  return std::string(bytes_.begin(), is_v4() ? bytes_.end() : bytes_.begin() + 8);
}

std::optional<Network> Network::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const auto address = IpAddress::parse(address_text);
  if (!address) return std::nullopt;
  const bool v4 = address_text.find(':') == std::string_view::npos;
  Network result;
  if (slash != std::string_view::npos) {
    const auto prefix = parse_number(text.substr(slash + 1), v4 ? 32 : 128);
    if (!prefix) return std::nullopt;
    result.prefix_ = *prefix + (v4 ? kMappedBits : 0);
  }
  result.address_ = IpAddress::from_bytes(mask(address->bytes(), result.prefix_));
  return result;
}

bool Network::contains(const IpAddress& address) const {
  return mask(address.bytes(), prefix_) == address_.bytes();
}

bool any_contains(const std::vector<Network>& networks, const IpAddress& address) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const Network& network) { return network.contains(address); });
}

std::string Network::to_string() const {
  const bool v4 = prefix_ >= kMappedBits && address_.is_v4();
  if (prefix_ == 128) return address_.to_string();
  return address_.to_string() + "/" + std::to_string(v4 ? prefix_ - kMappedBits : prefix_);
}

}  // namespace imapmux::base
