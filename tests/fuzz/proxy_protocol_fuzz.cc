// Any octets as a PROXY header, in pieces: what comes out does not depend on where they are cut.
#include <cstdlib>
#include <string>

#include "net/proxy_protocol.h"

using imapmux::net::ProxyHeaderParser;

namespace {

struct Outcome {
  ProxyHeaderParser::Event event = ProxyHeaderParser::Event::kNeedMore;
  size_t taken = 0;
  std::string said;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

void feed(ProxyHeaderParser& parser, std::string_view chunk, Outcome& outcome) {
  if (outcome.event != ProxyHeaderParser::Event::kNeedMore) return;
  const size_t before = chunk.size();
  outcome.event = parser.next(chunk);
  outcome.taken += before - chunk.size();
  if (outcome.event == ProxyHeaderParser::Event::kNeedMore && !chunk.empty()) std::abort();
  const auto& header = parser.header();
  outcome.said = parser.problem() + header.address.to_string() + std::to_string(header.port) +
                 std::to_string(static_cast<int>(header.origin));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Outcome whole;
  ProxyHeaderParser at_once;
  feed(at_once, input, whole);
  Outcome split;
  ProxyHeaderParser in_pieces;
  for (const char c : input) feed(in_pieces, std::string_view(&c, 1), split);
  if (!input.empty() && !(whole == split)) std::abort();
  const size_t most = ProxyHeaderParser::kBinaryStart + ProxyHeaderParser::kMostBinary;
  if (whole.taken > most) std::abort();
  return 0;
}
