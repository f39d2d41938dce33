#include "config/yaml_lines.h"

#include <algorithm>
#include <vector>

namespace imapmux::config {

namespace {

struct Position {
  int line = 1;
  int column = 1;

  void advance(char c) {
    if (c == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
};

unsigned octet(std::string_view text, size_t index) {
  return index < text.size() ? static_cast<unsigned char>(text[index]) : 0;
}

// The length of the UTF-8 sequence at the beginning of `text` (RFC 3629, 4); 0 if there is none.
size_t utf8_length(std::string_view text) {
  const unsigned first = octet(text, 0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((octet(text, i) & 0xc0) != 0x80) return 0;
  }
  const unsigned second = octet(text, 1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second >= 0xa0;
  const bool beyond = first == 0xf4 && second >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

bool is_control(char c) {
  const auto value = static_cast<unsigned char>(c);
  return (value < 0x20 && c != '\t' && c != '\n' && c != '\r') || value == 0x7f;
}

// Follows brackets and quotes as far as it takes to know which are open. Plain scalars may hold any of these
// characters, so that they count only where a value can begin.
class BracketScanner {
 public:
  explicit BracketScanner(std::string_view text) : text_(text) {}

  std::optional<TextFault> run() {
    for (; at_ < text_.size(); step()) {
      const char c = text_[at_];
      if (c == '#' && after_space_) {
        skip_comment();
      } else if ((c == '"' || c == '\'') && value_may_begin_) {
        if (!skip_quoted(c)) return fault_;
      } else if ((c == '[' || c == '{') && (value_may_begin_ || !open_.empty())) {
        open_.push_back({c, position_});
        value_may_begin_ = true;
        after_space_ = false;
        continue;
      } else if ((c == ']' || c == '}') && !open_.empty()) {
        if (!close(c)) return fault_;
      }
      note(at_ < text_.size() ? text_[at_] : '\n');
    }
    if (open_.empty()) return std::nullopt;
    return unclosed(open_.back().character, open_.back().position);
  }

 private:
  struct Open {
    char character;
    Position position;
  };

  static TextFault unclosed(char character, Position position) {
    return {position.line, position.column, std::string("this ") + character + " is never closed"};
  }

  void step() {
    if (at_ < text_.size()) position_.advance(text_[at_]);
    ++at_;
  }

  // Stops at the end of the line.
  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') step();
  }

  // Stops on the closing quote.
  bool skip_quoted(char quote) {
    const Position begin = position_;
    for (step(); at_ < text_.size(); step()) {
      if (text_[at_] == '\\' && quote == '"') {
        step();
      } else if (text_[at_] == quote && quote == '\'' && octet(text_, at_ + 1) == '\'') {
        step();
      } else if (text_[at_] == quote) {
        return true;
      }
    }
    fault_ = unclosed(quote, begin);
    return false;
  }

  bool close(char c) {
    const Open top = open_.back();
    open_.pop_back();
    if ((top.character == '[') == (c == ']')) return true;
    fault_ = unclosed(top.character, top.position);
    return false;
  }

  // After "key:", "-", "," and at the beginning of a line a value may begin; white space changes nothing.
  void note(char c) {
    after_space_ = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (c == '\n' || c == ':' || c == '-' || c == ',')
      value_may_begin_ = true;
    else if (!after_space_)
      value_may_begin_ = false;
  }

  std::string_view text_;
  size_t at_ = 0;
  Position position_;
  std::vector<Open> open_;
  std::optional<TextFault> fault_;
  bool value_may_begin_ = true;
  bool after_space_ = true;
};

}  // namespace

std::optional<TextFault> find_bad_character(std::string_view text) {
  Position position;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text.substr(at));
    if (length == 0) return TextFault{position.line, position.column, "this is not UTF-8 text"};
    if (is_control(text[at])) {
      return TextFault{position.line, position.column, "control characters are not allowed"};
    }
    for (size_t i = 0; i < length; ++i) position.advance(text[at + i]);
    at += length;
  }
  return std::nullopt;
}

std::optional<TextFault> find_tab(std::string_view text) {
  int line = 1;
  for (size_t begin = 0; begin < text.size(); ++line) {
    const std::string_view rest = text.substr(begin, text.find('\n', begin) - begin);
    const size_t indentation = std::min(rest.find_first_not_of(" \t\r"), rest.size());
    const size_t tab = rest.substr(0, indentation).find('\t');
    const bool has_content = indentation < rest.size() && rest[indentation] != '#';
    if (tab != std::string_view::npos && has_content) {
      return TextFault{line, static_cast<int>(tab) + 1, "a tab in the indentation; YAML wants spaces"};
    }
    begin += rest.size() + 1;
  }
  return std::nullopt;
}

std::optional<TextFault> find_unclosed(std::string_view text) {
  return BracketScanner(text).run();
}

}  // namespace imapmux::config
