// The MIME structure of a message (RFC 2045, RFC 2046), found by looking at its octets. Plain functions; the
// parts are views of the message, which must outlive them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imapmux::demo {

struct HeaderField {
  std::string_view name;
  std::string_view body;  // behind the colon, folded as it stands, without the last line end
  std::string_view raw;   // all its lines with their ends
};

// The fields up to the empty line; lines that are none are left out.
std::vector<HeaderField> parse_header(std::string_view header);
// Of the first field called so: unfolded, trimmed; nothing if there is none.
std::optional<std::string> header_value(std::string_view header, std::string_view name);
std::string unfold(std::string_view body);

// A Content-Type or Content-Disposition value: "attachment; filename=a.txt".
struct ParameterisedValue {
  std::string value;
  std::vector<std::pair<std::string, std::string>> parameters;
  // Of the name in any case; empty if there is none.
  std::string parameter(std::string_view name) const;
};
ParameterisedValue parse_parameterised(std::string_view text);

struct MimePart {
  std::string_view header;  // with the empty line behind it
  std::string_view body;
  std::string type;     // lower case, "text" where nothing or nonsense is said
  std::string subtype;  // lower case
  ParameterisedValue content_type;
  std::vector<MimePart> children;  // of a multipart; one of a message/rfc822: the message inside

  bool is_multipart() const { return type == "multipart"; }
  bool is_message() const { return type == "message" && subtype == "rfc822"; }
  uint32_t lines() const;        // of the body
  std::string encoding() const;  // Content-Transfer-Encoding, "7bit" where nothing is said
};

// Never fails: what can't be understood is text/plain. Nested at most 20 deep.
MimePart parse_message(std::string_view octets);

// The part of a section's numbers (RFC 3501, 6.4.5), which are not empty; null if there is none. 1 of a
// message that is no multipart is the message itself.
const MimePart* find_part(const MimePart& message, std::span<const uint32_t> numbers);

// The body of a text part without its transfer encoding, as UTF-8; for searching.
std::string decoded_text(const MimePart& part);

}  // namespace imapmux::demo
