// Whether a command is one that the proxy understands down to its arguments: what it does not understand it
// does not forward, since it could open a mailbox without a lease or set state on the connection. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wire/command_parser.h"

namespace imapmux::session {

// Nothing if the command is fine; else fit for "tag BAD problem".
std::optional<std::string> problem_with(const wire::Command& command);

// The mailbox names that a command opens (wire::Opens), decoded: one, or two for RENAME (old, new). Empty if
// malformed.
// Names messages by number: as long as it has been read and not begun, the numbers that the client knows must
// not shift. FETCH, STORE, SEARCH, SORT, THREAD, COPY, MOVE, and the keys of UID SEARCH and its like.
bool names_messages_by_number(const wire::Command& command);
std::vector<std::string> opened_mailboxes(const wire::Command& command);

// Whether `text` may stand between two literals of an APPEND (MULTIAPPEND, RFC 3502): " (flags) "date" ",
// each but the first space optional.
bool is_append_part(std::string_view text);

// STATUS's items in upper case; only after problem_with() found nothing.
std::vector<std::string> status_items(const wire::Command& command);

}  // namespace imapmux::session
