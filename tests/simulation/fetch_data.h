// What a FETCH response says of a message (RFC 3501, 7.4.2). Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "demo/store.h"

namespace imapmux::simulation {

struct FetchData {
  std::optional<uint32_t> uid;
  std::optional<demo::Flags> flags;  // without \Recent
  std::map<std::string, std::string>
      items;  // all, by name in upper case; strings decoded, lists as they stand
  bool has(const std::string& item) const { return items.contains(item); }
};

// Nothing if it is malformed, or an item comes twice.
std::optional<FetchData> parse_fetch(std::string_view arguments);
// "(\Seen \Recent Work)" without \Recent.
std::optional<demo::Flags> parse_flag_list(std::string_view list);

}  // namespace imapmux::simulation
