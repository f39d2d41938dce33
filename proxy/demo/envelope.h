// ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501, 7.4.2) and the addresses in them (RFC 5322, 3.4). Plain
// functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "demo/mime.h"

namespace imapmux::demo {

// One member of an IMAP address list. A group begins with an empty host and ends with an empty mailbox and
// host.
struct Address {
  std::string name;
  std::string route;  // source route, obsolete
  std::string mailbox;
  std::string host;
  bool group_begin = false;
  bool group_end = false;
};

std::vector<Address> parse_addresses(std::string_view text);

// Quoted if that is possible, else a literal.
void write_string(std::string& out, std::string_view value);
// With the parentheses, without the name before them.
void write_envelope(std::string& out, std::string_view header);
// `extended`: BODYSTRUCTURE, with the extension data; else BODY.
void write_body_structure(std::string& out, const MimePart& part, bool extended);

}  // namespace imapmux::demo
