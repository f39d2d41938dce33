#include "demo/envelope.h"

#include <fmt/core.h>

#include <optional>

#include "base/bytes.h"
#include "wire/writer.h"

namespace imapmux::demo {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// One lexical element of an address header.
struct Lexeme {
  enum class Kind : uint8_t { kWord, kQuoted, kSpecial } kind;
  std::string text;
  bool space_before = false;
};

// Comments are collected apart: "a@b (Name)" is an old way to write a name.
struct Lexed {
  std::vector<Lexeme> lexemes;
  std::vector<std::pair<size_t, std::string>> comments;  // number of lexemes before it, its text
};

Lexed lex(std::string_view text) {
  Lexed result;
  bool space = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (is_space(c) || c == ')') {  // one that closes no comment means nothing
      space = true;
    } else if (c == '(') {
      std::string comment;
      int depth = 1;
      while (++i < text.size()) {
        if (text[i] == '\\' && i + 1 < text.size()) {
          comment += text[++i];
          continue;
        }
        if (text[i] == '(') ++depth;
        if (text[i] == ')' && --depth == 0) break;
        comment += text[i];
      }
      result.comments.emplace_back(result.lexemes.size(), std::move(comment));
      space = true;
    } else if (c == '"') {
      Lexeme quoted{Lexeme::Kind::kQuoted, {}, space};
      for (++i; i < text.size() && text[i] != '"'; ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) ++i;
        quoted.text += text[i];
      }
      result.lexemes.push_back(std::move(quoted));
      space = false;
    } else if (std::string_view("<>,;:@").contains(c)) {
      result.lexemes.push_back({Lexeme::Kind::kSpecial, std::string(1, c), space});
      space = false;
    } else {
      Lexeme word{Lexeme::Kind::kWord, {}, space};
      bool bracket = false;  // [1.2.3.4], [IPv6:…]
      while (i < text.size() &&
             (bracket || (!is_space(text[i]) && !std::string_view("()\"<>,;:@").contains(text[i])))) {
        if (text[i] == '[') bracket = true;
        if (text[i] == ']') bracket = false;
        word.text += text[i++];
      }
      --i;
      result.lexemes.push_back(std::move(word));
      space = false;
    }
  }
  return result;
}

std::string join(const std::vector<Lexeme>& lexemes, size_t begin, size_t end, bool spaces) {
  std::string out;
  for (size_t i = begin; i < end; ++i) {
    if (spaces && !out.empty() && lexemes[i].space_before) out += ' ';
    out += lexemes[i].text;
  }
  return out;
}

// "local@host" of the lexemes from `begin` to `end`.
void set_mailbox(Address& address, const std::vector<Lexeme>& lexemes, size_t begin, size_t end) {
  size_t at = end;
  for (size_t i = begin; i < end; ++i) {
    if (lexemes[i].kind == Lexeme::Kind::kSpecial && lexemes[i].text == "@") at = i;
  }
  address.mailbox = join(lexemes, begin, at, true);
  // A NIL host would begin a group.
  address.host = at == end ? "MISSING_DOMAIN" : join(lexemes, at + 1, end, false);
  if (address.mailbox.empty()) address.mailbox = "MISSING_MAILBOX";
  if (address.host.empty()) address.host = "MISSING_DOMAIN";
}

void write_nstring(std::string& out, std::string_view value) {
  if (value.empty()) {
    out += "NIL";
  } else {
    write_string(out, value);
  }
}

void write_optional(std::string& out, const std::optional<std::string>& value) {
  if (value) {
    write_string(out, *value);
  } else {
    out += "NIL";
  }
}

// True if any address was written.
bool write_addresses(std::string& out, const std::optional<std::string>& text) {
  auto addresses = text ? parse_addresses(*text) : std::vector<Address>();
  if (addresses.empty()) return false;
  out += '(';
  for (const Address& address : addresses) {
    if (address.group_end) {
      out += "(NIL NIL NIL NIL)";
      continue;
    }
    out += '(';
    write_nstring(out, address.name);
    out += ' ';
    write_nstring(out, address.route);
    out += ' ';
    write_string(out, address.mailbox);
    out += ' ';
    write_nstring(out, address.host);
    out += ')';
  }
  out += ')';
  return true;
}

void write_parameters(std::string& out, const std::vector<std::pair<std::string, std::string>>& parameters) {
  if (parameters.empty()) {
    out += "NIL";
    return;
  }
  char separator = '(';
  for (const auto& [name, value] : parameters) {
    out += separator;
    write_string(out, base::upper(name));
    out += ' ';
    write_string(out, value);
    separator = ' ';
  }
  out += ')';
}

// body-fld-dsp, body-fld-lang, body-fld-loc
void write_extension_tail(std::string& out, const MimePart& part) {
  auto disposition = header_value(part.header, "Content-Disposition");
  ParameterisedValue parsed = parse_parameterised(disposition.value_or(""));
  out += ' ';
  if (parsed.value.empty()) {
    out += "NIL";
  } else {
    out += '(';
    write_string(out, base::upper(parsed.value));
    out += ' ';
    write_parameters(out, parsed.parameters);
    out += ')';
  }
  out += ' ';
  write_optional(out, header_value(part.header, "Content-Language"));
  out += ' ';
  write_optional(out, header_value(part.header, "Content-Location"));
}

}  // namespace

std::vector<Address> parse_addresses(std::string_view text) {
  std::vector<Address> result;
  Lexed lexed = lex(text);
  const auto& lexemes = lexed.lexemes;
  bool in_group = false;
  size_t begin = 0;
  auto special = [&](size_t i, char c) {
    return lexemes[i].kind == Lexeme::Kind::kSpecial && lexemes[i].text[0] == c;
  };
  auto finish = [&](size_t end) {
    if (begin == end) return;
    Address address;
    size_t open = end;
    for (size_t i = begin; i < end; ++i) {
      if (special(i, '<')) {
        open = i;
        break;
      }
    }
    if (open == end) {
      set_mailbox(address, lexemes, begin, end);
      for (const auto& [before, comment] : lexed.comments) {
        if (before > begin && before <= end) address.name = comment;
      }
    } else {
      address.name = join(lexemes, begin, open, true);
      size_t close = end;
      size_t first = open + 1;
      for (size_t i = end; i > first; --i) {
        if (special(i - 1, '>')) close = i - 1;
        if (special(i - 1, ':')) {
          if (address.route.empty()) {
            address.route = join(lexemes, open + 1, i - 1, false);
            first = i;
          }
          break;
        }
      }
      set_mailbox(address, lexemes, first, close);
    }
    result.push_back(std::move(address));
  };
  bool in_angle = false;
  for (size_t i = 0; i < lexemes.size(); ++i) {
    if (special(i, '<')) in_angle = true;
    if (special(i, '>')) in_angle = false;
    if (in_angle) continue;
    if (special(i, ',')) {
      finish(i);
      begin = i + 1;
    } else if (special(i, ':') && !in_group) {
      Address group;
      group.mailbox = join(lexemes, begin, i, true);
      group.group_begin = true;
      result.push_back(std::move(group));
      in_group = true;
      begin = i + 1;
    } else if (special(i, ';')) {
      finish(i);
      begin = i + 1;
      if (in_group) {
        result.emplace_back();
        result.back().group_end = true;
      }
      in_group = false;
    }
  }
  finish(lexemes.size());
  if (in_group) {
    result.emplace_back();
    result.back().group_end = true;
  }
  return result;
}

void write_string(std::string& out, std::string_view value) {
  if (wire::quotable(value)) {
    wire::write_quoted(out, value);
  } else {
    out += fmt::format("{{{}}}\r\n", value.size());
    out += value;
  }
}

void write_envelope(std::string& out, std::string_view header) {
  out += '(';
  write_optional(out, header_value(header, "Date"));
  out += ' ';
  write_optional(out, header_value(header, "Subject"));
  std::string from;
  if (!write_addresses(from, header_value(header, "From"))) from = "NIL";
  out += ' ';
  out += from;
  for (const char* name : {"Sender", "Reply-To"}) {  // both default to From
    out += ' ';
    if (!write_addresses(out, header_value(header, name))) out += from;
  }
  for (const char* name : {"To", "Cc", "Bcc"}) {
    out += ' ';
    if (!write_addresses(out, header_value(header, name))) out += "NIL";
  }
  out += ' ';
  write_optional(out, header_value(header, "In-Reply-To"));
  out += ' ';
  write_optional(out, header_value(header, "Message-ID"));
  out += ')';
}

void write_body_structure(std::string& out, const MimePart& part, bool extended) {
  out += '(';
  if (part.is_multipart()) {
    for (const MimePart& child : part.children) write_body_structure(out, child, extended);
    out += ' ';
    write_string(out, base::upper(part.subtype));
    if (extended) {
      out += ' ';
      write_parameters(out, part.content_type.parameters);
      write_extension_tail(out, part);
    }
    out += ')';
    return;
  }
  write_string(out, base::upper(part.type));
  out += ' ';
  write_string(out, base::upper(part.subtype));
  out += ' ';
  auto parameters = part.content_type.parameters;
  if (parameters.empty() && part.type == "text") parameters.emplace_back("CHARSET", "US-ASCII");
  write_parameters(out, parameters);
  out += ' ';
  write_optional(out, header_value(part.header, "Content-ID"));
  out += ' ';
  write_optional(out, header_value(part.header, "Content-Description"));
  out += ' ';
  write_string(out, base::upper(part.encoding()));
  out += fmt::format(" {}", part.body.size());
  if (part.is_message()) {
    out += ' ';
    write_envelope(out, part.children.front().header);
    out += ' ';
    write_body_structure(out, part.children.front(), extended);
    out += fmt::format(" {}", part.lines());
  } else if (part.type == "text") {
    out += fmt::format(" {}", part.lines());
  }
  if (extended) {
    out += ' ';
    write_optional(out, header_value(part.header, "Content-MD5"));
    write_extension_tail(out, part);
  }
  out += ')';
}

}  // namespace imapmux::demo
