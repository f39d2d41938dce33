// FETCH's attributes: what a client asks for and what a message answers (RFC 3501, 6.4.5 and 7.4.2). Values
// and plain functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demo/store.h"
#include "wire/token_reader.h"

namespace imapmux::demo {

struct FetchItem {
  enum class Kind : uint8_t {
    kFlags,
    kUid,
    kInternalDate,
    kSize,
    kEnvelope,
    kBody,
    kBodyStructure,
    kSection,  // BODY[...] and the RFC822 forms, which are sections by other names
  };
  enum class Text : uint8_t { kAll, kHeader, kFields, kFieldsNot, kText, kMime };

  Kind kind = Kind::kFlags;
  std::string label;  // its name in the answer
  bool peek = true;   // false: \Seen is set
  std::vector<uint32_t> part;
  Text text = Text::kAll;
  std::vector<std::string> fields;
  std::optional<std::pair<uint32_t, uint32_t>> partial;  // first octet, count
};

// "(FLAGS BODY[])", "FLAGS" or a macro, up to the end of the arguments.
std::optional<std::vector<FetchItem>> parse_fetch_items(wire::TokenReader& reader);

// The flag list in parentheses.
void write_flags(std::string& out, const Flags& flags, bool recent);
// Appends what stands between the parentheses of the FETCH response.
void write_fetch_items(std::string& out, const std::vector<FetchItem>& items, const Message& message,
                       bool recent);

}  // namespace imapmux::demo
