#include "demo/mime.h"

#include <algorithm>

#include "base/bytes.h"
#include "demo/encoding.h"

namespace imapmux::demo {

namespace {

constexpr int kMaxDepth = 20;
constexpr size_t kMaxParts = 1000;

// The line at the front with its end, consumed.
std::string_view take_line(std::string_view& text) {
  size_t end = text.find('\n');
  std::string_view line = text.substr(0, end == std::string_view::npos ? end : end + 1);
  text.remove_prefix(line.size());
  return line;
}

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string_view trim(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// The octets up to and with the empty line.
std::string_view header_of(std::string_view text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    std::string_view line = take_line(rest);
    if (without_line_end(line).empty()) break;
  }
  return text.substr(0, text.size() - rest.size());
}

// The octets between the lines "--boundary"; what precedes the first and follows the last one is no part.
std::vector<std::string_view> split(std::string_view body, std::string_view boundary) {
  std::vector<std::string_view> parts;
  std::string_view rest = body;
  size_t begin = std::string_view::npos;
  auto finish = [&](size_t end) {
    if (begin != std::string_view::npos)
      parts.push_back(end > begin ? without_line_end(body.substr(begin, end - begin)) : std::string_view());
  };
  while (!rest.empty() && parts.size() < kMaxParts) {
    size_t at = body.size() - rest.size();
    std::string_view line = take_line(rest);
    if (!line.starts_with("--") || !line.substr(2).starts_with(boundary)) continue;
    std::string_view tail = trim(line.substr(2 + boundary.size()));
    if (!tail.empty() && tail != "--") continue;
    finish(at);
    begin = body.size() - rest.size();
    if (tail == "--") return parts;
  }
  finish(body.size());
  return parts;
}

MimePart parse_part(std::string_view octets, std::string_view default_type, int depth) {
  MimePart part;
  part.header = header_of(octets);
  part.body = octets.substr(part.header.size());
  part.content_type =
      parse_parameterised(header_value(part.header, "Content-Type").value_or(std::string(default_type)));
  auto set_type = [&](std::string_view type) {
    size_t slash = type.find('/');
    part.type = base::lower(trim(type.substr(0, slash)));
    part.subtype = slash == std::string_view::npos ? "" : base::lower(trim(type.substr(slash + 1)));
  };
  set_type(part.content_type.value);
  if (part.type.empty() || part.subtype.empty()) {
    part.content_type = {};
    set_type("text/plain");
  }
  if (part.is_message() && depth < kMaxDepth)
    part.children.push_back(parse_part(part.body, "text/plain", depth + 1));
  if (part.is_multipart()) {
    std::string boundary = part.content_type.parameter("boundary");
    std::string_view inner = part.subtype == "digest" ? "message/rfc822" : "text/plain";
    if (!boundary.empty() && depth < kMaxDepth) {
      for (std::string_view child : split(part.body, boundary))
        part.children.push_back(parse_part(child, inner, depth + 1));
    }
  }
  if ((part.is_multipart() || part.is_message()) && part.children.empty()) {
    // A multipart without parts has no BODYSTRUCTURE (RFC 3501, 9: body-type-mpart).
    part.content_type = {};
    set_type("text/plain");
  }
  return part;
}

}  // namespace

std::vector<HeaderField> parse_header(std::string_view header) {
  std::vector<HeaderField> fields;
  std::string_view rest = header;
  while (!rest.empty()) {
    size_t at = header.size() - rest.size();
    std::string_view line = take_line(rest);
    if (without_line_end(line).empty()) break;
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t')) take_line(rest);
    std::string_view raw = header.substr(at, header.size() - rest.size() - at);
    size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) continue;
    std::string_view name = trim(line.substr(0, colon));
    if (name.empty() || name.find_first_of(" \t") != std::string_view::npos) continue;
    fields.push_back({name, without_line_end(raw.substr(colon + 1)), raw});
  }
  return fields;
}

std::string unfold(std::string_view body) {
  std::string out;
  for (char c : trim(body)) {
    if (c != '\r' && c != '\n') out += c;
  }
  return out;
}

std::optional<std::string> header_value(std::string_view header, std::string_view name) {
  for (const HeaderField& field : parse_header(header)) {
    if (base::equals_ignore_case(field.name, name)) return unfold(field.body);
  }
  return std::nullopt;
}

std::string ParameterisedValue::parameter(std::string_view name) const {
  for (const auto& [key, text] : parameters) {
    if (base::equals_ignore_case(key, name)) return text;
  }
  return {};
}

ParameterisedValue parse_parameterised(std::string_view text) {
  ParameterisedValue result;
  // Cut at semicolons outside quotes; comments are dropped.
  std::vector<std::string> pieces(1);
  std::vector<bool> has_equals(1, false);
  std::vector<std::string> names(1);
  bool quoted = false;
  int comment = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quoted && c == '\\' && i + 1 < text.size()) {
      pieces.back() += text[++i];
    } else if (c == '"' && comment == 0) {
      quoted = !quoted;
    } else if (quoted) {
      pieces.back() += c;
    } else if (c == '(') {
      ++comment;
    } else if (c == ')' && comment > 0) {
      --comment;
    } else if (comment > 0 || c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      continue;
    } else if (c == ';') {
      pieces.emplace_back();
      names.emplace_back();
      has_equals.push_back(false);
    } else if (c == '=' && !has_equals.back() && pieces.size() > 1) {
      has_equals.back() = true;
      names.back() = std::move(pieces.back());
      pieces.back().clear();
    } else {
      pieces.back() += c;
    }
  }
  result.value = pieces.front();
  for (size_t i = 1; i < pieces.size(); ++i) {
    if (has_equals[i] && !names[i].empty()) result.parameters.emplace_back(names[i], pieces[i]);
  }
  return result;
}

uint32_t MimePart::lines() const {
  auto count = std::ranges::count(body, '\n');
  return static_cast<uint32_t>(count + (!body.empty() && !body.ends_with('\n') ? 1 : 0));
}

std::string MimePart::encoding() const {
  std::string value = header_value(header, "Content-Transfer-Encoding").value_or("");
  return value.empty() ? "7bit" : value;
}

MimePart parse_message(std::string_view octets) {
  return parse_part(octets, "text/plain", 0);
}

const MimePart* find_part(const MimePart& message, std::span<const uint32_t> numbers) {
  const MimePart* part = &message;
  bool is_message = true;  // `part` is a whole message rather than a body part
  for (uint32_t number : numbers) {
    if (!is_message && part->is_message()) {
      part = &part->children.front();
      is_message = true;
    }
    if (part->is_multipart()) {
      if (number == 0 || number > part->children.size()) return nullptr;
      part = &part->children[number - 1];
    } else if (!is_message || number != 1) {
      return nullptr;
    }
    is_message = false;
  }
  return part;
}

std::string decoded_text(const MimePart& part) {
  std::string encoding = base::lower(part.encoding());
  std::string text(part.body);
  if (encoding == "base64") text = decode_base64(part.body).value_or(text);
  if (encoding == "quoted-printable") text = decode_quoted_printable(part.body);
  return to_utf8(text, part.content_type.parameter("charset"));
}

}  // namespace imapmux::demo
