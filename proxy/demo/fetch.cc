#include "demo/fetch.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "demo/envelope.h"
#include "demo/mime.h"
#include "wire/writer.h"

namespace imapmux::demo {

namespace {

using Kind = FetchItem::Kind;
using Text = FetchItem::Text;

// Digits at the front, consumed.
std::optional<uint32_t> take_number(std::string_view& text) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

// "(FROM TO)" of HEADER.FIELDS.
bool parse_fields(std::string_view text, FetchItem& item) {
  wire::TokenReader reader(text);
  if (!reader.open()) return false;
  while (true) {
    auto name = reader.astring();
    if (!name || name->empty()) return false;
    item.fields.push_back(std::move(*name));
    if (reader.close()) return reader.at_end();
    if (!reader.space()) return false;
  }
}

// What stands between the brackets.
bool parse_section(std::string_view text, FetchItem& item) {
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    auto number = take_number(text);
    if (!number || *number == 0) return false;
    item.part.push_back(*number);
    if (text.empty()) return true;
    if (text.front() != '.') return false;
    text.remove_prefix(1);
    if (text.empty()) return false;
  }
  if (text.empty()) return item.part.empty();
  size_t space = text.find(' ');
  std::string name = base::upper(text.substr(0, space));
  if (name == "HEADER.FIELDS" || name == "HEADER.FIELDS.NOT") {
    item.text = name.ends_with("NOT") ? Text::kFieldsNot : Text::kFields;
    return space != std::string_view::npos && parse_fields(text.substr(space + 1), item);
  }
  if (space != std::string_view::npos) return false;
  if (name == "HEADER") {
    item.text = Text::kHeader;
  } else if (name == "TEXT") {
    item.text = Text::kText;
  } else if (name == "MIME" && !item.part.empty()) {
    item.text = Text::kMime;
  } else {
    return false;
  }
  return true;
}

// "<0.100>" behind the brackets.
bool parse_partial(std::string_view text, FetchItem& item) {
  if (!text.starts_with('<') || !text.ends_with('>')) return false;
  text = text.substr(1, text.size() - 2);
  auto first = take_number(text);
  if (!first || !text.starts_with('.')) return false;
  text.remove_prefix(1);
  auto count = take_number(text);
  if (!count || *count == 0 || !text.empty()) return false;
  item.partial = {*first, *count};
  return true;
}

std::string section_label(const FetchItem& item) {
  std::string label = "BODY[";
  for (uint32_t number : item.part) label += fmt::format("{}.", number);
  if (item.text == Text::kAll && !item.part.empty()) label.pop_back();
  if (item.text == Text::kHeader) label += "HEADER";
  if (item.text == Text::kText) label += "TEXT";
  if (item.text == Text::kMime) label += "MIME";
  if (item.text == Text::kFields || item.text == Text::kFieldsNot) {
    label += item.text == Text::kFields ? "HEADER.FIELDS (" : "HEADER.FIELDS.NOT (";
    for (const std::string& field : item.fields) {
      if (&field != &item.fields.front()) label += ' ';
      std::string name = base::upper(field);
      std::erase_if(name, [](char c) { return c < ' ' || c > '~'; });  // no header is called so
      wire::write_astring(label, name);
    }
    label += ')';
  }
  label += ']';
  if (item.partial) label += fmt::format("<{}>", item.partial->first);
  return label;
}

std::optional<FetchItem> parse_item(std::string_view atom) {
  FetchItem item;
  size_t bracket = atom.find('[');
  item.label = base::upper(atom.substr(0, bracket));
  if (bracket != std::string_view::npos) {
    if (item.label != "BODY" && item.label != "BODY.PEEK") return std::nullopt;
    item.kind = Kind::kSection;
    item.peek = item.label == "BODY.PEEK";
    size_t end = atom.rfind(']');
    if (end == std::string_view::npos || end < bracket) return std::nullopt;
    if (!parse_section(atom.substr(bracket + 1, end - bracket - 1), item)) return std::nullopt;
    if (end + 1 < atom.size() && !parse_partial(atom.substr(end + 1), item)) return std::nullopt;
    item.label = section_label(item);
    return item;
  }
  struct Name {
    std::string_view label;
    Kind kind;
    Text text;
    bool peek;
  };
  static constexpr Name kNames[] = {
      {"FLAGS", Kind::kFlags, Text::kAll, true},
      {"UID", Kind::kUid, Text::kAll, true},
      {"INTERNALDATE", Kind::kInternalDate, Text::kAll, true},
      {"RFC822.SIZE", Kind::kSize, Text::kAll, true},
      {"ENVELOPE", Kind::kEnvelope, Text::kAll, true},
      {"BODY", Kind::kBody, Text::kAll, true},
      {"BODYSTRUCTURE", Kind::kBodyStructure, Text::kAll, true},
      {"RFC822", Kind::kSection, Text::kAll, false},
      {"RFC822.HEADER", Kind::kSection, Text::kHeader, true},
      {"RFC822.TEXT", Kind::kSection, Text::kText, false},
  };
  const auto* name = std::ranges::find(kNames, std::string_view(item.label), &Name::label);
  if (name == std::end(kNames)) return std::nullopt;
  item.kind = name->kind;
  item.text = name->text;
  item.peek = name->peek;
  return item;
}

std::string_view macro(std::string_view atom) {
  if (base::equals_ignore_case(atom, "ALL")) return "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE";
  if (base::equals_ignore_case(atom, "FAST")) return "FLAGS INTERNALDATE RFC822.SIZE";
  if (base::equals_ignore_case(atom, "FULL")) return "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY";
  return {};
}

// The chosen fields and the empty line (RFC 3501, 6.4.5).
std::string choose_fields(std::string_view header, const FetchItem& item) {
  std::string out;
  for (const HeaderField& field : parse_header(header)) {
    bool named = std::ranges::any_of(
        item.fields, [&](const std::string& name) { return base::equals_ignore_case(name, field.name); });
    if (named == (item.text == Text::kFields)) out += field.raw;
  }
  return out + "\r\n";
}

// The section's octets before the partial is cut out; nothing if there is no such part.
std::optional<std::string> section(const FetchItem& item, const Message& message) {
  if (item.part.empty() && item.text == Text::kAll) return *message.octets;
  MimePart root = parse_message(*message.octets);
  const MimePart* part = &root;
  if (!item.part.empty()) {
    part = find_part(root, item.part);
    if (part == nullptr) return std::nullopt;
    if (item.text == Text::kAll) return std::string(part->body);
    if (item.text == Text::kMime) return std::string(part->header);
    if (!part->is_message()) return std::nullopt;
    part = &part->children.front();
  }
  if (item.text == Text::kHeader) return std::string(part->header);
  if (item.text == Text::kText) return std::string(part->body);
  return choose_fields(part->header, item);
}

void write_section(std::string& out, const FetchItem& item, const Message& message) {
  auto octets = section(item, message);
  if (!octets) {
    out += "NIL";
    return;
  }
  std::string_view text = *octets;
  if (item.partial)
    text = text.substr(std::min<size_t>(item.partial->first, text.size()), item.partial->second);
  out += fmt::format("{{{}}}\r\n", text.size());
  out += text;
}

}  // namespace

std::optional<std::vector<FetchItem>> parse_fetch_items(wire::TokenReader& reader) {
  std::vector<FetchItem> items;
  bool list = reader.open();
  while (true) {
    auto atom = reader.atom();
    if (!atom) return std::nullopt;
    if (std::string_view names = macro(*atom); !list && !names.empty()) {
      if (!reader.at_end()) return std::nullopt;
      wire::TokenReader inner(names);
      while (auto name = inner.atom()) {
        items.push_back(*parse_item(*name));
        inner.space();
      }
      return items;
    }
    auto item = parse_item(*atom);
    if (!item) return std::nullopt;
    items.push_back(std::move(*item));
    if (!list || reader.close()) break;
    if (!reader.space()) return std::nullopt;
  }
  if (!reader.at_end()) return std::nullopt;
  return items;
}

void write_flags(std::string& out, const Flags& flags, bool recent) {
  out += '(';
  for (const std::string& flag : flags) {
    if (out.back() != '(') out += ' ';
    out += flag;
  }
  if (recent) out += out.back() == '(' ? "\\Recent" : " \\Recent";
  out += ')';
}

void write_fetch_items(std::string& out, const std::vector<FetchItem>& items, const Message& message,
                       bool recent) {
  for (const FetchItem& item : items) {
    if (&item != &items.front()) out += ' ';
    out += item.label;
    out += ' ';
    switch (item.kind) {
      case Kind::kFlags:
        write_flags(out, message.flags, recent);
        break;
      case Kind::kUid:
        out += fmt::format("{}", message.uid);
        break;
      case Kind::kInternalDate:
        wire::write_quoted(out, format_date_time(message.internal_date));
        break;
      case Kind::kSize:
        out += fmt::format("{}", message.octets->size());
        break;
      case Kind::kEnvelope:
        write_envelope(out, parse_message(*message.octets).header);
        break;
      case Kind::kBody:
      case Kind::kBodyStructure:
        write_body_structure(out, parse_message(*message.octets), item.kind == Kind::kBodyStructure);
        break;
      case Kind::kSection:
        write_section(out, item, message);
        break;
    }
  }
}

}  // namespace imapmux::demo
