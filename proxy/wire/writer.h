// The only place that quotes: everything that is put on the wire and is not passed on as it came is written
// here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/command_parser.h"

namespace imapmux::wire {

// How a literal is announced to the peer.
enum class LiteralForm : uint8_t {
  kSynchronising,  // {n}: the peer's "+" must be awaited before its octets
  kPlus,           // {n+}: LITERAL+
};

enum class Literal8 : uint8_t { kNo, kYes };  // ~{n}: RFC 3516

// True if `value` can stand between quotes: no CR, LF, NUL, nothing above 0x7e, at most 1,000 octets.
bool quotable(std::string_view value);
// An atom if it can be one, else quoted. `value` must be quotable.
void write_astring(std::string& out, std::string_view value);
// Always quoted, with \ and " escaped. `value` must be quotable.
void write_quoted(std::string& out, std::string_view value);
// Quoted where that is possible, else a literal in place ("{3}CRLFabc"), as write_command() takes it.
void write_string(std::string& out, std::string_view value);
// What announces a literal of `size` octets, with its CRLF.
std::string literal_head(uint64_t size, Literal8 kind, LiteralForm form);
// Text that a person reads in a response: control characters and octets above 0x7e become '?', at most 400
// octets.
void write_text(std::string& out, std::string_view text);

// A command for a backend, cut where a synchronising literal makes the sender wait for "+": send pieces[0],
// await "+", send pieces[1], … The last piece ends with CRLF. Literals that can be quoted are: Courier's COPY
// takes none, and a quoted string saves the wait. Malformed arguments (that TokenReader can't read to the
// end) give no pieces.
struct OutgoingCommand {
  std::vector<std::string> pieces;
};
OutgoingCommand write_command(std::string_view tag, std::string_view text, LiteralForm form);
// Whether write_command() would give one piece: tag, SP, `text` as it is, CRLF.
bool is_plain(std::string_view text);

}  // namespace imapmux::wire
