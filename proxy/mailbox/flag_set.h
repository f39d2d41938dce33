// The flags of one message as a value (RFC 3501, 2.3.2): order and, for system flags, case mean nothing.
// \Recent is kept, but never counts as a difference: in a shared mailbox everybody may see it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/store_arguments.h"

namespace imapmux::mailbox {

class FlagSet {
 public:
  // "(\Seen foo)", with the parentheses. Nothing if it is no flag list.
  static std::optional<FlagSet> parse(std::string_view list);
  // The same form, in one order for equal sets.
  std::string to_string() const;
  bool seen() const { return system_ & kSeen; }
  // What STORE makes of it.
  FlagSet after(wire::FlagOperation operation, const FlagSet& flags) const;
  FlagSet without_recent() const;
  // But for \Recent.
  friend bool operator==(const FlagSet& a, const FlagSet& b);

 private:
  bool add_system(std::string_view flag);
  void order_keywords();
  static constexpr uint8_t kSeen = 8;
  static constexpr uint8_t kRecent = 32;
  void add(std::string_view flag);

  uint8_t system_ = 0;                 // bits in the order of kSystemFlags
  std::vector<std::string> keywords_;  // in order, each once, in the case in which it was first seen
};

}  // namespace imapmux::mailbox
