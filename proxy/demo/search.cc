#include "demo/search.h"

#include <algorithm>

#include "base/bytes.h"
#include "demo/encoding.h"
#include "demo/mime.h"

namespace imapmux::demo {

namespace {

using Kind = SearchKey::Kind;

constexpr int kMaxDepth = 50;

std::optional<SearchKey> parse_key(wire::TokenReader& reader, int depth);

// Keys separated by spaces, up to the end or, in parentheses, up to ")".
std::optional<SearchKey> parse_keys(wire::TokenReader& reader, bool parenthesised, int depth) {
  SearchKey all;
  all.kind = Kind::kAnd;
  while (true) {
    auto key = parse_key(reader, depth);
    if (!key) return std::nullopt;
    all.children.push_back(std::move(*key));
    if (parenthesised ? reader.close() : reader.at_end()) return all;
    if (!reader.space()) return std::nullopt;
  }
}

SearchKey flag_key(std::string flag, bool set) {
  SearchKey key;
  key.kind = Kind::kFlag;
  key.name = std::move(flag);
  if (set) return key;
  SearchKey negated;
  negated.kind = Kind::kNot;
  negated.children.push_back(std::move(key));
  return negated;
}

std::optional<SearchKey> parse_flag(std::string_view name) {
  for (std::string_view flag : {"\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"}) {
    std::string upper = base::upper(flag.substr(1));
    if (name == upper) return flag_key(std::string(flag), true);
    if (name == "UN" + upper) return flag_key(std::string(flag), false);
  }
  return std::nullopt;
}

// The argument behind a space, as a text.
bool take_text(wire::TokenReader& reader, std::string& out) {
  if (!reader.space()) return false;
  auto value = reader.astring();
  if (!value) return false;
  out = std::move(*value);
  return true;
}

std::optional<SearchKey> parse_date(std::string name, wire::TokenReader& reader) {
  SearchKey key;
  key.sent = name.starts_with("SENT");
  if (key.sent) name.erase(0, 4);
  if (name == "BEFORE") {
    key.kind = Kind::kBefore;
  } else if (name == "ON") {
    key.kind = Kind::kOn;
  } else if (name == "SINCE") {
    key.kind = Kind::kSince;
  } else {
    return std::nullopt;
  }
  std::string text;
  if (!take_text(reader, text)) return std::nullopt;
  auto day = parse_search_date(text);
  if (!day) return std::nullopt;
  key.day = *day;
  return key;
}

// Keys with arguments, except dates.
std::optional<SearchKey> parse_with_arguments(const std::string& name, wire::TokenReader& reader, int depth) {
  SearchKey key;
  if (name == "NOT" || name == "OR") {
    key.kind = name == "NOT" ? Kind::kNot : Kind::kOr;
    for (int i = 0; i < (name == "NOT" ? 1 : 2); ++i) {
      if (!reader.space()) return std::nullopt;
      auto child = parse_key(reader, depth + 1);
      if (!child) return std::nullopt;
      key.children.push_back(std::move(*child));
    }
    return key;
  }
  if (name == "KEYWORD" || name == "UNKEYWORD") {
    std::string flag;
    if (!take_text(reader, flag)) return std::nullopt;
    return flag_key(std::move(flag), name == "KEYWORD");
  }
  if (name == "LARGER" || name == "SMALLER") {
    key.kind = name == "LARGER" ? Kind::kLarger : Kind::kSmaller;
    if (!reader.space()) return std::nullopt;
    auto size = reader.number();
    if (!size) return std::nullopt;
    key.size = *size;
    return key;
  }
  if (name == "UID") {
    key.kind = Kind::kUids;
    if (!reader.space()) return std::nullopt;
    auto atom = reader.atom();
    auto set = atom ? wire::SequenceSet::parse(*atom) : std::nullopt;
    if (!set) return std::nullopt;
    key.set = std::move(*set);
    return key;
  }
  if (name == "BODY" || name == "TEXT") {
    key.kind = name == "BODY" ? Kind::kBody : Kind::kText;
  } else if (name == "BCC" || name == "CC" || name == "FROM" || name == "SUBJECT" || name == "TO") {
    key.kind = Kind::kHeader;
    key.name = name;
  } else if (name == "HEADER") {
    key.kind = Kind::kHeader;
    if (!take_text(reader, key.name)) return std::nullopt;
  } else {
    return parse_date(name, reader);
  }
  if (!take_text(reader, key.text)) return std::nullopt;
  return key;
}

std::optional<SearchKey> parse_key(wire::TokenReader& reader, int depth) {
  if (depth > kMaxDepth) return std::nullopt;
  if (reader.open()) return parse_keys(reader, true, depth + 1);
  auto atom = reader.atom();
  if (!atom || atom->empty()) return std::nullopt;
  SearchKey key;
  if (atom->front() == '*' || (atom->front() >= '0' && atom->front() <= '9')) {
    auto set = wire::SequenceSet::parse(*atom);
    if (!set) return std::nullopt;
    key.kind = Kind::kNumbers;
    key.set = std::move(*set);
    return key;
  }
  std::string name = base::upper(*atom);
  if (auto flag = parse_flag(name)) return flag;
  if (name == "ALL") return key;
  if (name == "NEW") key.kind = Kind::kNew;
  if (name == "OLD") key.kind = Kind::kOld;
  if (name == "RECENT") key.kind = Kind::kRecent;
  if (key.kind != Kind::kAll) return key;
  return parse_with_arguments(name, reader, depth);
}

// `lowered` has no upper case letters.
bool contains(std::string_view text, std::string_view lowered) {
  auto found = std::ranges::search(text, lowered, {}, base::to_lower);
  return lowered.empty() || !found.empty();
}

bool header_contains(std::string_view header, std::string_view lowered) {
  for (const HeaderField& field : parse_header(header)) {
    std::string raw = unfold(field.raw);
    if (contains(raw, lowered) || contains(decode_encoded_words(raw), lowered)) return true;
  }
  return false;
}

bool field_contains(std::string_view header, std::string_view name, std::string_view lowered) {
  for (const HeaderField& field : parse_header(header)) {
    if (!base::equals_ignore_case(field.name, name)) continue;
    std::string raw = unfold(field.body);
    if (contains(raw, lowered) || contains(decode_encoded_words(raw), lowered)) return true;
  }
  return false;
}

// The text parts, and with `headers` the headers of the parts as well.
bool part_contains(const MimePart& part, std::string_view lowered, bool headers) {
  if (headers && header_contains(part.header, lowered)) return true;
  if (part.children.empty()) return part.type == "text" && contains(decoded_text(part), lowered);
  return std::ranges::any_of(part.children, [&](const MimePart& child) {
    return part_contains(child, lowered, headers || part.is_message());
  });
}

bool matches_date(const SearchKey& key, const Message& message) {
  int64_t day = message.internal_date.local_day();
  if (key.sent) {
    auto value = header_value(parse_message(*message.octets).header, "Date");
    auto date = value ? parse_mail_date(*value) : std::nullopt;
    if (!date) return false;
    day = date->local_day();
  }
  if (key.kind == Kind::kBefore) return day < key.day;
  return key.kind == Kind::kOn ? day == key.day : day >= key.day;
}

}  // namespace

std::optional<SearchProgram> parse_search(wire::TokenReader& reader) {
  SearchProgram program;
  wire::TokenReader ahead = reader;
  auto first = ahead.atom();
  if (first && base::equals_ignore_case(*first, "CHARSET")) {
    std::string charset;
    if (!take_text(ahead, charset) || !ahead.space()) return std::nullopt;
    program.unknown_charset =
        !base::equals_ignore_case(charset, "US-ASCII") && !base::equals_ignore_case(charset, "UTF-8");
    reader = ahead;
  }
  auto key = parse_keys(reader, false, 0);
  if (!key) return std::nullopt;
  program.key = std::move(*key);
  return program;
}

bool matches(const SearchKey& key, const SearchSubject& subject) {
  const Message& message = *subject.message;
  auto child_matches = [&](const SearchKey& child) { return matches(child, subject); };
  switch (key.kind) {
    case Kind::kAll:
      return true;
    case Kind::kAnd:
      return std::ranges::all_of(key.children, child_matches);
    case Kind::kOr:
      return std::ranges::any_of(key.children, child_matches);
    case Kind::kNot:
      return !child_matches(key.children.front());
    case Kind::kFlag:
      return message.flags.contains(key.name);
    case Kind::kNew:
      return subject.recent && !message.flags.contains("\\Seen");
    case Kind::kOld:
      return !subject.recent;
    case Kind::kRecent:
      return subject.recent;
    case Kind::kNumbers:
      return key.set.contains(subject.number, subject.last_number);
    case Kind::kUids:
      return key.set.contains(message.uid, subject.last_uid);
    case Kind::kBefore:
    case Kind::kOn:
    case Kind::kSince:
      return matches_date(key, message);
    case Kind::kLarger:
      return message.octets->size() > key.size;
    case Kind::kSmaller:
      return message.octets->size() < key.size;
    case Kind::kHeader:
      return field_contains(parse_message(*message.octets).header, key.name, base::lower(key.text));
    case Kind::kBody:
    case Kind::kText:
      return part_contains(parse_message(*message.octets), base::lower(key.text), key.kind == Kind::kText);
  }
  return false;
}

}  // namespace imapmux::demo
