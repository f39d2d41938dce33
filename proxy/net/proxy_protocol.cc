#include "net/proxy_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace imapmux::net {
namespace {

constexpr std::string_view kText = "PROXY ";
constexpr std::string_view kSignature{"\r\n\r\n\0\r\nQUIT\n", 12};

// 2.2: version and command, address family and transport.
constexpr uint8_t kLocal = 0x20;
constexpr uint8_t kProxy = 0x21;
constexpr uint8_t kUnspecified = 0x00;
constexpr uint8_t kTcp4 = 0x11;
constexpr uint8_t kTcp6 = 0x21;
constexpr uint8_t kUnixStream = 0x31;
constexpr uint8_t kChecksum = 0x03;  // PP2_TYPE_CRC32C

constexpr size_t kIpv4Block = 4 + 4 + 2 + 2;  // both addresses, both ports
constexpr size_t kIpv6Block = 16 + 16 + 2 + 2;
constexpr size_t kUnixBlock = 108 + 108;
constexpr size_t kTlvStart = 3;  // type and length

uint8_t octet(std::string_view octets, size_t at) {
  return static_cast<uint8_t>(octets[at]);
}

uint16_t number(std::string_view octets, size_t at) {
  return static_cast<uint16_t>(octet(octets, at) << 8 | octet(octets, at + 1));
}

// Castagnoli's polynomial (RFC 4960, appendix B), which zlib's crc32 is not.
uint32_t crc32c(std::string_view octets) {
  uint32_t sum = ~uint32_t{0};
  for (const char c : octets) {
    sum ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~sum;
}

// Of 4 or 16 octets.
base::IpAddress address_at(std::string_view block, size_t at, size_t size) {
  std::array<uint8_t, 16> bytes{};
  if (size == 4) bytes[10] = bytes[11] = 0xff;
  std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(at), size,
              bytes.end() - static_cast<std::ptrdiff_t>(size));
  return base::IpAddress::from_bytes(bytes);
}

void put_number(std::string& out, uint16_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number & 0xff);
}

void put_address(std::string& out, const base::IpAddress& address, size_t size) {
  const auto& bytes = address.bytes();
  out.append(bytes.end() - static_cast<std::ptrdiff_t>(size), bytes.end());
}

// The client may have come by one family to a proxy that connected by the other.
bool is_v4(const ProxyHeader& header) {
  return header.address.is_v4() && header.local_address.is_v4();
}

std::string write_text(const ProxyHeader& header) {
  if (header.origin != ProxyHeader::Origin::kAddress) return "PROXY UNKNOWN\r\n";
  const bool v4 = is_v4(header);
  const auto text_of = [v4](const base::IpAddress& address) {
    return v4 || !address.is_v4() ? address.to_string() : "::ffff:" + address.to_string();
  };
  return fmt::format("PROXY {} {} {} {} {}\r\n", v4 ? "TCP4" : "TCP6", text_of(header.address),
                     text_of(header.local_address), header.port, header.local_port);
}

std::string write_binary(const ProxyHeader& header) {
  std::string block;
  uint8_t command = kProxy;
  uint8_t family = kUnspecified;
  switch (header.origin) {
    case ProxyHeader::Origin::kProxy:
      command = kLocal;
      break;
    case ProxyHeader::Origin::kUnknown:
      break;
    case ProxyHeader::Origin::kUnixSocket:
      family = kUnixStream;
      block.assign(kUnixBlock, '\0');  // two paths, which nobody has bound
      break;
    case ProxyHeader::Origin::kAddress:
      family = is_v4(header) ? kTcp4 : kTcp6;
      const size_t size = family == kTcp4 ? 4 : 16;
      put_address(block, header.address, size);
      put_address(block, header.local_address, size);
      put_number(block, header.port);
      put_number(block, header.local_port);
      break;
  }
  std::string out(kSignature);
  out += static_cast<char>(command);
  out += static_cast<char>(family);
  put_number(out, static_cast<uint16_t>(block.size()));
  return out + block;
}

// "a decimal integer without leading zeroes"
std::optional<uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > 65535) return std::nullopt;
  return static_cast<uint16_t>(value);
}

std::optional<base::IpAddress> parse_address(std::string_view text, bool v6) {
  if ((text.find(':') != std::string_view::npos) != v6) return std::nullopt;
  return base::IpAddress::parse(text);
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const auto space = line.find(' ');
    words.push_back(line.substr(0, space));
    if (space == std::string_view::npos) return words;
    line.remove_prefix(space + 1);
  }
}

// Where the value of the checksum begins in the header; 0 if there is none. Nothing if the fields behind the
// addresses, which are of no use here otherwise, do not fill the header to its end.
std::optional<size_t> find_checksum(std::string_view header, size_t at) {
  size_t found = 0;
  while (at < header.size()) {
    if (header.size() - at < kTlvStart) return std::nullopt;
    const uint8_t type = octet(header, at);
    const size_t size = number(header, at + 1);
    at += kTlvStart;
    if (header.size() - at < size) return std::nullopt;
    if (type == kChecksum && size != 4) return std::nullopt;
    if (type == kChecksum) found = at;
    at += size;
  }
  return found;
}

bool checksum_holds(std::string header, size_t at) {
  const uint32_t said = uint32_t{number(header, at)} << 16 | number(header, at + 2);
  header.replace(at, 4, 4, '\0');
  return crc32c(header) == said;
}

}  // namespace

std::string write_proxy_header(const ProxyHeader& header, ProxyHeaderVersion version) {
  return version == ProxyHeaderVersion::kText ? write_text(header) : write_binary(header);
}

ProxyHeaderParser::Event ProxyHeaderParser::next(std::string_view& chunk) {
  auto event = Event::kNeedMore;
  while (event == Event::kNeedMore && !chunk.empty()) {
    taken_.push_back(chunk.front());
    chunk.remove_prefix(1);
    event = look();
  }
  return event;
}

ProxyHeaderParser::Event ProxyHeaderParser::look() {
  const std::string_view taken = taken_;
  if (kText.starts_with(taken) || kSignature.starts_with(taken)) return Event::kNeedMore;
  if (taken.starts_with(kText)) return look_at_text();
  if (taken.starts_with(kSignature)) return look_at_binary();
  return malformed("no PROXY header came");
}

ProxyHeaderParser::Event ProxyHeaderParser::look_at_text() {
  const std::string_view taken = taken_;
  if (taken.ends_with('\n')) {
    if (!taken.ends_with("\r\n")) return malformed("PROXY header: a bare line feed");
    return parse_text(taken.substr(kText.size(), taken.size() - kText.size() - 2));
  }
  return taken.size() < kMostText ? Event::kNeedMore : malformed("PROXY header: too long");
}

ProxyHeaderParser::Event ProxyHeaderParser::parse_text(std::string_view line) {
  const auto words = words_of(line);
  if (words.front() == "UNKNOWN") {  // what else stands there is to be ignored
    header_.origin = ProxyHeader::Origin::kUnknown;
    return Event::kDone;
  }
  const bool v6 = words.front() == "TCP6";
  if (!v6 && words.front() != "TCP4") return malformed("PROXY header: an unknown protocol");
  if (words.size() != 5) return malformed("PROXY header: two addresses and two ports are expected");
  const auto source = parse_address(words[1], v6);
  const auto destination = parse_address(words[2], v6);
  const auto source_port = parse_port(words[3]);
  const auto destination_port = parse_port(words[4]);
  if (!source || !destination || !source_port || !destination_port)
    return malformed("PROXY header: not an address or a port");
  header_ = {ProxyHeader::Origin::kAddress, *source, *source_port, *destination, *destination_port};
  return Event::kDone;
}

ProxyHeaderParser::Event ProxyHeaderParser::look_at_binary() {
  if (taken_.size() < kBinaryStart) return Event::kNeedMore;
  const size_t size = number(taken_, kBinaryStart - 2);
  if (size > kMostBinary) return malformed("PROXY header: too long");
  return taken_.size() < kBinaryStart + size ? Event::kNeedMore : parse_binary();
}

ProxyHeaderParser::Event ProxyHeaderParser::parse_binary() {
  const uint8_t command = octet(taken_, kSignature.size());
  if (command == kLocal) {  // what else stands there is to be ignored
    header_.origin = ProxyHeader::Origin::kProxy;
    return Event::kDone;
  }
  if (command != kProxy) return malformed("PROXY header: an unknown version or command");
  return parse_addresses(octet(taken_, kSignature.size() + 1), std::string_view(taken_).substr(kBinaryStart));
}

ProxyHeaderParser::Event ProxyHeaderParser::parse_addresses(uint8_t family, std::string_view block) {
  size_t used = 0;
  switch (family) {
    case kUnspecified:
      header_.origin = ProxyHeader::Origin::kUnknown;
      break;
    case kTcp4:
      used = kIpv4Block;
      break;
    case kTcp6:
      used = kIpv6Block;
      break;
    case kUnixStream:
      header_.origin = ProxyHeader::Origin::kUnixSocket;
      used = kUnixBlock;
      break;
    default:
      return malformed("PROXY header: neither TCP nor a unix socket");
  }
  if (block.size() < used) return malformed("PROXY header: too short for its addresses");
  if (family == kTcp4 || family == kTcp6) {
    const size_t size = family == kTcp4 ? 4 : 16;
    header_ = {ProxyHeader::Origin::kAddress, address_at(block, 0, size), number(block, 2 * size),
               address_at(block, size, size), number(block, 2 * size + 2)};
  }
  const auto checksum = find_checksum(taken_, kBinaryStart + used);
  if (!checksum) return malformed("PROXY header: its fields do not fill it");
  if (*checksum != 0 && !checksum_holds(taken_, *checksum))
    return malformed("PROXY header: a wrong checksum");
  return Event::kDone;
}

ProxyHeaderParser::Event ProxyHeaderParser::malformed(std::string_view problem) {
  problem_ = problem;
  return Event::kMalformed;
}

}  // namespace imapmux::net
