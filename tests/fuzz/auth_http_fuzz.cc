// Any octets as the answer of an auth_http service, in pieces: what comes out does not depend on where they
// are cut.
#include <cstdlib>
#include <string>

#include "auth/auth_http.h"

using imapmux::auth::AnswerParser;

namespace {

std::string outcome(AnswerParser& parser, AnswerParser::Event event) {
  if (event == AnswerParser::Event::kNeedMore) return "needs more";
  if (event == AnswerParser::Event::kMalformed) return parser.problem();
  const auto answer = parser.take();
  for (const char c : answer.text)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) std::abort();
  return std::to_string(static_cast<int>(answer.verdict)) + answer.code + answer.text + answer.user +
         std::string(answer.password.view()) + (answer.server ? answer.server->to_string() : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  AnswerParser at_once;
  const auto whole = outcome(at_once, at_once.next(input));
  AnswerParser in_pieces;
  auto event = AnswerParser::Event::kNeedMore;
  for (const char c : input)
    if (event == AnswerParser::Event::kNeedMore) event = in_pieces.next(std::string_view(&c, 1));
  // An answer may end at the very octet that makes it too large.
  if (size < AnswerParser::kMostOctets && outcome(in_pieces, event) != whole) std::abort();
  return 0;
}
