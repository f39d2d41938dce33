#include "wire/store_arguments.h"

#include <algorithm>

#include "base/bytes.h"
#include "wire/lexical.h"
#include "wire/token_reader.h"

namespace imapmux::wire {
namespace {

bool read_item(std::string_view item, StoreArguments& store) {
  constexpr std::string_view kSilent = ".SILENT";
  if (item.size() > kSilent.size() &&
      base::equals_ignore_case(item.substr(item.size() - kSilent.size()), kSilent)) {
    store.silent = true;
    item.remove_suffix(kSilent.size());
  }
  for (const auto operation : {FlagOperation::kReplace, FlagOperation::kAdd, FlagOperation::kRemove}) {
    if (!base::equals_ignore_case(item, name_of(operation))) continue;
    store.operation = operation;
    return true;
  }
  return false;
}

// flag of RFC 3501, 9: an atom, with a "\" before it if the system gives it its meaning. "\*" is none.
bool is_flag(std::string_view text) {
  if (base::equals_ignore_case(text, "\\Recent")) return false;
  if (text.starts_with('\\')) text.remove_prefix(1);
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c != ']' && is_astring_char(c); });
}

// One flag, added to `flags`.
bool read_flag(TokenReader& reader, std::string& flags) {
  const auto flag = reader.atom();
  if (!flag || !is_flag(*flag)) return false;
  if (flags.size() > 1) flags += ' ';
  flags += *flag;
  return true;
}

}  // namespace

std::optional<StoreArguments> parse_store(std::string_view text) {
  TokenReader reader(text);
  StoreArguments store;
  const auto item = reader.atom();
  if (!item || !read_item(*item, store) || !reader.space()) return std::nullopt;
  store.flags = "(";
  if (reader.open()) {
    while (!reader.close()) {
      if (!read_flag(reader, store.flags)) return std::nullopt;
    }
  } else {
    do {
      if (!read_flag(reader, store.flags)) return std::nullopt;
    } while (reader.space());
  }
  if (!reader.at_end()) return std::nullopt;
  store.flags += ')';
  return store;
}

std::string_view name_of(FlagOperation operation) {
  switch (operation) {
    case FlagOperation::kReplace:
      return "FLAGS";
    case FlagOperation::kAdd:
      return "+FLAGS";
    case FlagOperation::kRemove:
      return "-FLAGS";
  }
  return {};
}

}  // namespace imapmux::wire
