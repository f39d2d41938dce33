// A cursor over the complete text of a command's arguments or of a response (RFC 3501, 9), literals in place.
//
// Owns nothing: the text must outlive it. It knows the lexical grammar (atoms, quoted strings, literals,
// parentheses), not the meaning. Every function that reads either consumes exactly what it names and says so,
// or leaves the position where it was. Malformed text is an answer, never an assertion: any octets may be
// fed. All but space() pass over leading SP, however many: whoever must know that there is exactly one asks
// space() first. A "[" is closed by the next "]" outside of strings; one that nothing closes is an octet like
// others. The time for a whole text is linear in its length.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imapmux::wire {

struct Token {
  enum class Kind : uint8_t {
    kAtom,     // a run of octets other than SP ( ) " { CR LF; [ ] and what stands between them belong to it:
               // BODY[HEADER.FIELDS (FROM TO)]<0.100> is one atom, so are \Seen, 1:*, %, +, "a=b"
    kQuoted,   // "..."
    kLiteral,  // {n}CRLF octets, {n+}, ~{n}
    kOpen,     // (
    kClose,    // )
  };
  Kind kind;
  std::string_view raw;    // with quotes, or from the { to the literal's last octet
  std::string_view value;  // between the quotes (still escaped), the literal's octets, or the atom
};

class TokenReader {
 public:
  explicit TokenReader(std::string_view text) : text_(text) {}

  bool at_end() const { return position_ == text_.size(); }
  std::string_view rest() const { return text_.substr(position_); }
  size_t position() const { return position_; }

  // The next token without leading space; nothing at the end or where the text is malformed.
  std::optional<Token> next();
  std::optional<Token> peek() const;

  bool space();  // exactly one SP
  bool open();
  bool close();

  std::optional<std::string_view> atom();
  // Atom, quoted (unescaped) or literal. `NIL` is the atom NIL here.
  std::optional<std::string> astring();
  // Quoted or literal, or nothing where NIL or anything else stands.
  std::optional<std::string> string();
  std::optional<uint32_t> number();  // 0 to 4294967295, nothing behind it but SP ) or the end
  std::optional<uint64_t> number64();
  // Skips one value: atom, string, or a parenthesised list (nested at most 100 deep).
  bool skip_value();

 private:
  void skip_spaces();
  bool one(char c);
  size_t atom_end(size_t at) const;
  std::optional<Token> token_here() const;

  std::string_view text_;
  size_t position_ = 0;
  mutable size_t unclosed_from_ = std::string_view::npos;  // no "[" from here on is closed
};

// Undoes the escapes of a quoted string's inner text.
std::string unescape(std::string_view quoted);
// The octets that a token stands for.
std::string decode(const Token& token);

}  // namespace imapmux::wire
