// Feeds the attributes of one FETCH response with each of its literals in the text or streamed: the client
// must get the same. Used by unit tests and the fuzzer alike.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/wire/transcript.h"
#include "wire/fetch_attributes.h"
#include "wire/lexical.h"

namespace imapmux::wire {

// What ResponseParser takes for literals: those whose heads end a line. What stands behind a line that ends
// without one is no part of the response.
struct FetchLiterals {
  struct Span {
    size_t begin;  // "{" or "~{"
    size_t end;    // behind the last octet
  };
  std::string_view text;
  std::vector<Span> spans;
};

inline FetchLiterals find_literals(std::string_view text) {
  FetchLiterals found{text, {}};
  for (size_t line_at = 0;;) {
    const size_t line_end = text.find('\n', line_at);
    if (line_end == std::string_view::npos) return found;
    std::string_view line = text.substr(line_at, line_end - line_at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto head = literal_head_at_end(line);
    if (!head || head->overflow || head->size > text.size() - line_end - 1) {
      found.text = text.substr(0, line_at + line.size());
      return found;
    }
    line_at = line_end + 1 + static_cast<size_t>(head->size);
    found.spans.push_back(
        {static_cast<size_t>(line.data() - text.data()) + line.size() - head->length, line_at});
  }
}

// What the client gets, literals in place, and what was learnt. Literals whose bit is set in `streamed` are
// cut out of the text that is fed.
inline std::string rewrite_fetch(const FetchLiterals& fetch, FetchWishes wishes, unsigned streamed) {
  FetchAttributes attributes;
  attributes.begin(wishes);
  std::string out;
  size_t at = 0;
  const auto feed = [&](size_t end) {
    const Chunk piece(fetch.text.substr(at, end - at));
    return attributes.piece(piece.view(), out);
  };
  for (size_t i = 0; i < fetch.spans.size(); ++i) {
    if ((streamed >> (i % 32) & 1) == 0) continue;
    const auto [begin, end] = fetch.spans[i];
    if (!feed(begin)) return "malformed";
    out += fetch.text.substr(begin, end - begin);
    at = end;
  }
  if (!feed(fetch.text.size()) || !attributes.complete()) return "malformed";
  out += " uid=" + std::to_string(attributes.uid());
  if (attributes.has_flags()) out += " flags=" + attributes.flags();
  return out + " attributes=" + std::to_string(attributes.attributes());
}

inline std::string learn_from_fetch(std::string_view text) {
  uint32_t uid = 7;
  std::string flags = "old";
  bool has_flags = true;
  const Chunk copy(text);
  if (!read_fetch(copy.view(), uid, flags, has_flags)) return "malformed";
  return " uid=" + std::to_string(uid) + (has_flags ? " flags=" + flags : "");
}

}  // namespace imapmux::wire
