#include "wire/fetch_items.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/bytes.h"
#include "wire/lexical.h"
#include "wire/token_reader.h"

namespace imapmux::wire {
namespace {

using base::equals_ignore_case;

constexpr size_t kMostRemembered = 160;  // octets of a list
constexpr std::string_view kWholeFrom0 = "<0.2147483647>";

struct Item {
  std::string_view text;  // as the client wrote it: "BODY.PEEK[1.TEXT]<0.100>"
  std::string_view name;  // up to the "["
  bool has_section = false;
  std::string_view section;        // between the brackets
  std::optional<uint32_t> origin;  // of a part: the 0 of "<0.100>"

  bool is(std::string_view other) const { return equals_ignore_case(name, other); }
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view expand_macro(std::string_view item) {
  if (equals_ignore_case(item, "ALL")) return "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)";
  if (equals_ignore_case(item, "FAST")) return "(FLAGS INTERNALDATE RFC822.SIZE)";
  if (equals_ignore_case(item, "FULL")) return "(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)";
  return item;
}

// section-part: takes "1.2." or "1.2" off the front; false if a number is none or a "." ends it all.
bool take_part(std::string_view& section) {
  while (!section.empty() && is_digit(section.front())) {
    const size_t end = std::min(section.find('.'), section.size());
    if (parse_number32(section.substr(0, end)).value_or(0) == 0 || end + 1 == section.size()) return false;
    section.remove_prefix(std::min(end + 1, section.size()));
  }
  return true;
}

// header-list: "(FROM "TO" {7}…)".
bool is_header_list(TokenReader reader) {
  if (!reader.open()) return false;
  do {
    const auto field = reader.next();
    if (!field || field->kind == Token::Kind::kOpen || field->kind == Token::Kind::kClose) return false;
    if (field->kind == Token::Kind::kAtom && !std::ranges::all_of(field->value, is_astring_char))
      return false;
    if (field->raw.starts_with("~{")) return false;
  } while (!reader.close());
  return reader.at_end();
}

// What may stand between the brackets of BODY (section-spec of RFC 3501, 9).
bool is_section(std::string_view section) {
  const bool has_part = !section.empty() && is_digit(section.front());
  if (!take_part(section)) return false;
  if (section.empty()) return true;
  const std::string_view word = section.substr(0, section.find(' '));
  if (equals_ignore_case(word, "HEADER.FIELDS") || equals_ignore_case(word, "HEADER.FIELDS.NOT"))
    return is_header_list(TokenReader(section.substr(word.size())));
  return equals_ignore_case(section, "HEADER") || equals_ignore_case(section, "TEXT") ||
         (has_part && equals_ignore_case(section, "MIME"));
}

// section-binary of RFC 3516, 4.
bool is_binary_section(std::string_view section) {
  return take_part(section) && section.empty();
}

// Nothing there, or "<origin.length>".
bool read_partial(std::string_view partial, std::optional<uint32_t>& origin) {
  if (partial.empty()) return true;
  if (!partial.starts_with('<') || !partial.ends_with('>')) return false;
  partial = partial.substr(1, partial.size() - 2);
  const size_t dot = partial.find('.');
  if (dot == std::string_view::npos) return false;
  origin = parse_number32(partial.substr(0, dot));
  return origin && parse_number32(partial.substr(dot + 1)).value_or(0) > 0;
}

// Nothing if the item is malformed or unknown.
std::optional<Item> parse_item(std::string_view text) {
  constexpr std::array<std::string_view, 10> kPlain = {
      "ENVELOPE",    "FLAGS",       "INTERNALDATE", "RFC822",        "RFC822.HEADER",
      "RFC822.SIZE", "RFC822.TEXT", "BODY",         "BODYSTRUCTURE", "UID"};
  Item item;
  item.text = text;
  item.name = text.substr(0, text.find('['));
  if (item.name.size() == text.size()) {
    if (std::ranges::any_of(kPlain, [&](std::string_view name) { return item.is(name); })) return item;
    return std::nullopt;
  }
  // The last one: there may be others in strings.
  const size_t end = text.rfind(']');
  if (end == std::string_view::npos) return std::nullopt;
  item.has_section = true;
  item.section = text.substr(item.name.size() + 1, end - item.name.size() - 1);
  const std::string_view partial = text.substr(end + 1);
  bool known = false;
  if (item.is("BODY") || item.is("BODY.PEEK")) {
    known = is_section(item.section) && read_partial(partial, item.origin);
  } else if (item.is("BINARY") || item.is("BINARY.PEEK")) {
    known = is_binary_section(item.section) && read_partial(partial, item.origin);
  } else if (item.is("BINARY.SIZE")) {
    known = is_binary_section(item.section) && partial.empty();
  }
  if (!known) return std::nullopt;
  return item;
}

std::optional<std::vector<Item>> parse_list(std::string_view text) {
  TokenReader reader(text);
  std::vector<Item> items;
  const auto read_item = [&] {
    const auto atom = reader.atom();
    const auto item = atom ? parse_item(*atom) : std::nullopt;
    if (item) items.push_back(*item);
    return item.has_value();
  };
  if (reader.open()) {
    do {
      if (!read_item()) return std::nullopt;
    } while (reader.space());
    if (!reader.close()) return std::nullopt;
  } else if (!read_item()) {
    return std::nullopt;
  }
  if (!reader.at_end()) return std::nullopt;
  return items;
}

bool asks_for(const std::vector<Item>& items, std::string_view name) {
  return std::ranges::any_of(items, [&](const Item& item) { return !item.has_section && item.is(name); });
}

// The answer to one of the items is called BODY[section] or BODY[section]<origin>.
bool asks_for_body(const std::vector<Item>& items, std::string_view section, std::optional<uint32_t> origin) {
  return std::ranges::any_of(items, [&](const Item& item) {
    return item.has_section && (item.is("BODY") || item.is("BODY.PEEK")) &&
           equals_ignore_case(item.section, section) && item.origin == origin;
  });
}

// RFC822.HEADER does not (RFC 3501, 6.4.5).
bool would_set_seen(const Item& item) {
  if (item.has_section) return item.is("BODY") || item.is("BINARY");
  return item.is("RFC822") || item.is("RFC822.TEXT");
}

void write_peek(std::string& out, const Item& item, std::string_view renamed_part) {
  if (item.has_section) {
    out += item.name;
    out += ".PEEK";
    out += item.text.substr(item.name.size());
  } else {
    out += item.is("RFC822") ? "BODY.PEEK[]" : "BODY.PEEK[TEXT]";
    out += renamed_part;
  }
}

}  // namespace

std::optional<FetchItems> parse_fetch_items(std::string_view text, Seen seen) {
  const auto asked = parse_list(expand_macro(text));
  if (!asked) return std::nullopt;
  FetchItems found;
  found.uid = asks_for(*asked, "UID");
  found.flags = asks_for(*asked, "FLAGS");
  found.only_flags =
      std::ranges::all_of(*asked, [](const Item& item) { return item.is("FLAGS") || item.is("UID"); });
  if (seen == Seen::kNever) {
    found.renames_body = asks_for(*asked, "RFC822");
    found.renames_body_text = asks_for(*asked, "RFC822.TEXT");
    const auto clashes = [&](std::optional<uint32_t> origin) {
      return (found.renames_body && asks_for_body(*asked, "", origin)) ||
             (found.renames_body_text && asks_for_body(*asked, "TEXT", origin));
    };
    found.renamed_from_0 = clashes(std::nullopt);
    if (found.renamed_from_0 && clashes(0)) return std::nullopt;
  }
  for (const Item& item : *asked) {
    found.items += found.items.empty() ? '(' : ' ';
    if (!would_set_seen(item)) {
      found.items += item.text;
    } else if (seen == Seen::kNever) {
      write_peek(found.items, item, found.renamed_from_0 ? kWholeFrom0 : "");
    } else {
      found.items += item.text;
      found.sets_seen = true;
    }
  }
  // Last, for a server that reads the flags where they stand, before it sets \Seen.
  if (found.sets_seen && !found.flags) found.items += " FLAGS";
  found.items += ')';
  return found;
}

const FetchItems* FetchItemsMemory::parse(std::string_view text, Seen seen, FetchItems& own) {
  auto& known = known_[std::hash<std::string_view>{}(text) % known_.size()];
  if (!text.empty() && known.text == text && known.seen == seen) return &known.items;
  auto items = parse_fetch_items(text, seen);
  if (!items) return nullptr;
  if (text.size() > kMostRemembered || items->items.size() > 2 * kMostRemembered) {
    own = *std::move(items);
    return &own;
  }
  known.text.clear();
  known.items = *std::move(items);
  known.seen = seen;
  known.text = text;
  return &known.items;
}

}  // namespace imapmux::wire
