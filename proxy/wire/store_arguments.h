// What a client's STORE asks for (RFC 3501, 6.4.6), and the operations' names. Plain functions on a complete
// text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imapmux::wire {

enum class FlagOperation : uint8_t { kReplace, kAdd, kRemove };

struct StoreArguments {
  FlagOperation operation = FlagOperation::kReplace;
  bool silent = false;
  std::string
      flags;  // "(\\Seen foo)": always in parentheses (GNU imap4d answers BAD without), one SP between
};

// `text`: what stands behind the set and its SP: "+FLAGS.SILENT (\\Seen)" or "FLAGS \\Seen \\Deleted".
// Nothing if it is malformed, holds anything but flags, or \Recent, which no client can set; so with
// modifiers (UNCHANGEDSINCE).
std::optional<StoreArguments> parse_store(std::string_view text);

// "FLAGS", "+FLAGS", "-FLAGS".
std::string_view name_of(FlagOperation operation);

}  // namespace imapmux::wire
