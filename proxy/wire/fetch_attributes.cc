#include "wire/fetch_attributes.h"

#include "base/bytes.h"
#include "wire/lexical.h"

namespace imapmux::wire {
namespace {

struct Nowhere {
  void operator+=(char) {}
  void operator+=(std::string_view) {}
};

void skip_spaces(std::string_view text, size_t& at) {
  while (at < text.size() && text[at] == ' ') ++at;
}

// A quoted string or a literal, or the one octet that stands here; false if a string has no end.
bool skip_one(std::string_view text, size_t& at) {
  switch (text[at]) {
    case '"':
      at = quoted_end(text, at);
      return at != std::string_view::npos;
    case '{':
      if (const auto literal = literal_at(text, at)) {
        at = literal->end;
        return true;
      }
      return false;
    case '\r':
    case '\n':
      return false;
    default:
      ++at;
      return true;
  }
}

// Brackets mean something in names only: a flag may hold a "[".
std::string_view take_atom(std::string_view text, size_t& at) {
  const size_t begin = at;
  while (at < text.size() && !ends_atom(text[at])) ++at;
  return text.substr(begin, at - begin);
}

}  // namespace

void FetchAttributes::begin(FetchWishes wishes) {
  wishes_ = wishes;
  place_ = Place::kBeginning;
  has_flags_ = has_more_ = false;
  uid_ = 0;
  attributes_ = 0;
  depth_ = 0;
  flags_.clear();
}

bool FetchAttributes::piece(std::string_view text, std::string& out) {
  if (read(text, out)) return true;
  place_ = Place::kBroken;
  return false;
}

template <class Out>
bool FetchAttributes::read(std::string_view text, Out& out) {
  size_t at = 0;
  switch (place_) {
    case Place::kBeginning:
      if (!text.starts_with('(')) return false;
      at = 1;
      out += '(';
      place_ = Place::kBetween;
      break;
    case Place::kSection:
    case Place::kList:
      if (!pass_on(text, 0, at, out)) return false;
      break;
    case Place::kValue:
      place_ = Place::kBetween;  // the literal was it
      break;
    default:
      return false;
  }
  while (place_ == Place::kBetween) {
    if (!read_attribute(text, at, out)) return false;
  }
  return at == text.size();
}

// One attribute, or the ")" behind the last one.
template <class Out>
bool FetchAttributes::read_attribute(std::string_view text, size_t& at, Out& out) {
  skip_spaces(text, at);
  if (at == text.size()) return false;  // a literal is no name
  if (text[at] == ')') {
    ++at;
    out += ')';
    place_ = Place::kEnd;
    return true;
  }
  const size_t begin = at;
  place_ = Place::kName;
  if (!skip_name(text, at) || at == begin) return false;
  const std::string_view name = text.substr(begin, at - begin);
  if (base::equals_ignore_case(name, "UID")) {
    if (!read_uid(text, at)) return false;
    if (!wishes_.uid) return true;
  } else if (base::equals_ignore_case(name, "FLAGS")) {
    if (!read_flags(text, at)) return false;
    if (!wishes_.flags) return true;
  } else {
    has_more_ = true;
  }
  if (attributes_++ > 0) out += ' ';
  const std::string_view renamed = new_name(name);
  out += renamed;
  return pass_on(text, renamed.empty() ? begin : begin + name.size(), at, out);
}

// Reads on to the end of the attribute or of the text; all from `begin` on is the client's.
template <class Out>
bool FetchAttributes::pass_on(std::string_view text, size_t begin, size_t& at, Out& out) {
  if (place_ == Place::kSection && !skip_name(text, at)) return false;
  if (place_ == Place::kValue && !skip_value(text, at)) return false;
  if (place_ == Place::kList && !skip_list(text, at)) return false;
  out += text.substr(begin, at - begin);
  return true;
}

// Empty: it keeps its name. RFC822 takes no partial, so nobody can have asked for RFC822<0>.
std::string_view FetchAttributes::new_name(std::string_view name) const {
  if (wishes_.body_is_rfc822 &&
      base::equals_ignore_case(name, wishes_.renamed_from_0 ? "BODY[]<0>" : "BODY[]"))
    return "RFC822";
  if (wishes_.body_text_is_rfc822_text &&
      base::equals_ignore_case(name, wishes_.renamed_from_0 ? "BODY[TEXT]<0>" : "BODY[TEXT]"))
    return "RFC822.TEXT";
  return {};
}

bool FetchAttributes::skip_name(std::string_view text, size_t& at) {
  while (at < text.size()) {
    const char c = text[at];
    if (place_ == Place::kSection) {
      if (!skip_one(text, at)) return false;
      if (c == ']') place_ = Place::kName;
    } else if (ends_atom(c)) {
      place_ = Place::kValue;
      return c == ' ' || c == '(';
    } else {
      if (c == '[') place_ = Place::kSection;
      ++at;
    }
  }
  return place_ == Place::kSection;
}

bool FetchAttributes::skip_value(std::string_view text, size_t& at) {
  skip_spaces(text, at);
  if (at == text.size()) return true;
  if (text[at] == '(') {
    place_ = Place::kList;
    return true;
  }
  place_ = Place::kBetween;
  if (text.substr(at).starts_with("~{")) ++at;
  if (text[at] == '"' || text[at] == '{') return skip_one(text, at);
  return !take_atom(text, at).empty();
}

bool FetchAttributes::skip_list(std::string_view text, size_t& at) {
  while (at < text.size()) {
    const char c = text[at];
    if (!skip_one(text, at)) return false;
    if (c == '(') ++depth_;
    if (c == ')' && --depth_ == 0) {
      place_ = Place::kBetween;
      break;
    }
  }
  return true;
}

// Two UIDs in one response would leave open whose message this is.
bool FetchAttributes::read_uid(std::string_view text, size_t& at) {
  skip_spaces(text, at);
  const auto uid = parse_number32(take_atom(text, at));
  if (!uid || *uid == 0 || (uid_ != 0 && uid_ != *uid)) return false;
  uid_ = *uid;
  place_ = Place::kBetween;
  return true;
}

// Of several the last one counts: a server that repeats them has changed them in between.
bool FetchAttributes::read_flags(std::string_view text, size_t& at) {
  skip_spaces(text, at);
  if (at == text.size() || text[at] != '(') return false;
  const size_t begin = at++;
  while (at < text.size() && (text[at] == ' ' || !ends_atom(text[at]))) ++at;
  if (at == text.size() || text[at] != ')') return false;
  ++at;
  flags_.assign(text, begin, at - begin);
  has_flags_ = true;
  place_ = Place::kBetween;
  return true;
}

bool read_fetch(std::string_view attributes, uint32_t& uid, std::string& flags, bool& has_flags) {
  FetchAttributes reader;
  reader.flags_.swap(flags);  // for its memory
  reader.begin({});
  Nowhere nowhere;
  const bool fine = reader.read(attributes, nowhere);
  uid = reader.uid_;
  has_flags = reader.has_flags_;
  flags.swap(reader.flags_);
  return fine && reader.complete();
}

}  // namespace imapmux::wire
