#include "wire/token_reader.h"

#include "wire/lexical.h"

namespace imapmux::wire {
namespace {

// Behind the "]" that closes the "[" at `at`; npos if nothing does.
size_t bracket_end(std::string_view text, size_t at) {
  size_t i = at + 1;
  while (i < text.size()) {
    switch (text[i]) {
      case ']':
        return i + 1;
      case '"':
        i = quoted_end(text, i);
        break;
      case '{': {
        const auto literal = literal_at(text, i);
        i = literal ? literal->end : std::string_view::npos;
        break;
      }
      case '\r':
      case '\n':
        return std::string_view::npos;
      default:
        ++i;
    }
  }
  return std::string_view::npos;
}

}  // namespace

void TokenReader::skip_spaces() {
  while (position_ < text_.size() && text_[position_] == ' ') ++position_;
}

size_t TokenReader::atom_end(size_t at) const {
  size_t i = at;
  while (i < text_.size() && !ends_atom(text_[i])) {
    if (text_[i] == '[' && i < unclosed_from_) {
      const size_t end = bracket_end(text_, i);
      if (end != std::string_view::npos) {
        i = end;
        continue;
      }
      // Where nothing closes this one, nothing closes a later one: it is looked for once only, whatever is
      // sent.
      unclosed_from_ = i;
    }
    ++i;
  }
  return i;
}

std::optional<Token> TokenReader::next() {
  const size_t before = position_;
  skip_spaces();
  const auto token = token_here();
  position_ = token ? position_ + token->raw.size() : before;
  return token;
}

std::optional<Token> TokenReader::peek() const {
  TokenReader ahead = *this;
  const auto token = ahead.next();
  unclosed_from_ = ahead.unclosed_from_;
  return token;
}

std::optional<Token> TokenReader::token_here() const {
  if (position_ == text_.size()) return std::nullopt;
  const char c = text_[position_];
  const auto part = [this](size_t end) { return text_.substr(position_, end - position_); };
  if (c == '(' || c == ')') {
    return Token{c == '(' ? Token::Kind::kOpen : Token::Kind::kClose, part(position_ + 1),
                 part(position_ + 1)};
  }
  if (c == '"') {
    const size_t end = quoted_end(text_, position_);
    if (end == std::string_view::npos) return std::nullopt;
    return Token{Token::Kind::kQuoted, part(end), text_.substr(position_ + 1, end - position_ - 2)};
  }
  if (c == '{' || c == '~') {
    if (const auto literal = literal_at(text_, position_)) {
      return Token{Token::Kind::kLiteral, part(literal->end),
                   text_.substr(literal->octets_at, literal->end - literal->octets_at)};
    }
  }
  const size_t end = atom_end(position_);
  if (end == position_) return std::nullopt;
  return Token{Token::Kind::kAtom, part(end), part(end)};
}

bool TokenReader::one(char c) {
  const size_t before = position_;
  skip_spaces();
  if (position_ < text_.size() && text_[position_] == c) {
    ++position_;
    return true;
  }
  position_ = before;
  return false;
}

bool TokenReader::space() {
  if (at_end() || text_[position_] != ' ') return false;
  ++position_;
  return true;
}

bool TokenReader::open() {
  return one('(');
}
bool TokenReader::close() {
  return one(')');
}

std::optional<std::string_view> TokenReader::atom() {
  const size_t before = position_;
  const auto token = next();
  if (token && token->kind == Token::Kind::kAtom) return token->value;
  position_ = before;
  return std::nullopt;
}

std::optional<std::string> TokenReader::astring() {
  const size_t before = position_;
  const auto token = next();
  if (token && token->kind != Token::Kind::kOpen && token->kind != Token::Kind::kClose) return decode(*token);
  position_ = before;
  return std::nullopt;
}

std::optional<std::string> TokenReader::string() {
  const size_t before = position_;
  const auto token = next();
  if (token && (token->kind == Token::Kind::kQuoted || token->kind == Token::Kind::kLiteral))
    return decode(*token);
  position_ = before;
  return std::nullopt;
}

std::optional<uint32_t> TokenReader::number() {
  const size_t before = position_;
  const auto value = number64();
  if (value && *value <= UINT32_MAX) return static_cast<uint32_t>(*value);
  position_ = before;
  return std::nullopt;
}

std::optional<uint64_t> TokenReader::number64() {
  const size_t before = position_;
  skip_spaces();
  size_t end = position_;
  while (end < text_.size() && text_[end] >= '0' && text_[end] <= '9') ++end;
  const bool ends_well = end == text_.size() || text_[end] == ' ' || text_[end] == ')';
  const auto value = ends_well ? parse_number64(text_.substr(position_, end - position_)) : std::nullopt;
  position_ = value ? end : before;
  return value;
}

bool TokenReader::skip_value() {
  constexpr int kMaxDepth = 100;
  const size_t before = position_;
  int depth = 0;
  while (const auto token = next()) {
    if (token->kind == Token::Kind::kOpen) {
      if (++depth > kMaxDepth) break;
    } else if (token->kind == Token::Kind::kClose) {
      if (--depth < 0) break;
    }
    if (depth == 0) return true;
  }
  position_ = before;
  return false;
}

std::string unescape(std::string_view quoted) {
  std::string out;
  out.reserve(quoted.size());
  for (size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] == '\\' && i + 1 < quoted.size()) ++i;
    out += quoted[i];
  }
  return out;
}

std::string decode(const Token& token) {
  return token.kind == Token::Kind::kQuoted ? unescape(token.value) : std::string(token.value);
}

}  // namespace imapmux::wire
