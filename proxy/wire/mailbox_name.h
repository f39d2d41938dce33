// Mailbox names (RFC 3501, 5.1 and 5.1.3).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace imapmux::wire {

// One spelling for every way to write the same name, as a key (not for the wire): INBOX in upper case, also
// as the first level before `delimiter`; modified UTF-7 decoded and encoded again in the shortest form; one
// trailing delimiter dropped. Malformed modified UTF-7 stays as it is. `delimiter` 0: the server has none, or
// it is unknown.
std::string canonical_mailbox_name(std::string_view name, char delimiter);

// UTF-8 of a modified UTF-7 name; nothing if it is malformed.
std::optional<std::string> decode_modified_utf7(std::string_view name);
// Modified UTF-7 of a UTF-8 text; nothing if that is malformed.
std::optional<std::string> encode_modified_utf7(std::string_view utf8);

// True if `name` is below `parent` in the hierarchy (both canonical).
bool is_inferior(std::string_view name, std::string_view parent, char delimiter);

}  // namespace imapmux::wire
