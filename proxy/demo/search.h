// SEARCH's keys (RFC 3501, 6.4.4): parsed into a tree, and asked of one message at a time. Values and plain
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demo/store.h"
#include "wire/sequence_set.h"
#include "wire/token_reader.h"

namespace imapmux::demo {

struct SearchKey {
  enum class Kind : uint8_t {
    kAll,
    kAnd,
    kOr,
    kNot,  // of children
    kFlag,
    kNew,
    kOld,
    kRecent,
    kNumbers,
    kUids,
    kBefore,
    kOn,
    kSince,  // day, of the internal date or of the Date header
    kLarger,
    kSmaller,
    kHeader,  // name, text
    kBody,
    kText,
  };

  Kind kind = Kind::kAll;
  std::vector<SearchKey> children;
  std::string name;  // flag or header
  std::string text;
  int64_t day = 0;
  bool sent = false;  // by the Date header
  uint32_t size = 0;
  wire::SequenceSet set;
};

// A message as its session sees it.
struct SearchSubject {
  const Message* message = nullptr;
  uint32_t number = 0;
  bool recent = false;
  uint32_t last_number = 0;  // what "*" means
  uint32_t last_uid = 0;
};

struct SearchProgram {
  SearchKey key;
  bool unknown_charset = false;
};

// The whole arguments of SEARCH; nothing if they are malformed. Text is compared without regard to ASCII
// case.
std::optional<SearchProgram> parse_search(wire::TokenReader& reader);
bool matches(const SearchKey& key, const SearchSubject& subject);

}  // namespace imapmux::demo
