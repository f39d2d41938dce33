#include "wire/search_keys.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/bytes.h"
#include "wire/sequence_set.h"
#include "wire/token_reader.h"
#include "wire/writer.h"

namespace imapmux::wire {
namespace {

constexpr size_t kMaxDepth = 50;

// What stands behind a key.
enum class Argument : uint8_t { kNone, kString, kTwoStrings, kDate, kNumber, kPositive, kFlag, kSet };

struct Key {
  std::string_view name;
  Argument argument;
};

constexpr std::array kKeys = {
    Key{"ALL", Argument::kNone},          Key{"ANSWERED", Argument::kNone},
    Key{"BCC", Argument::kString},        Key{"BEFORE", Argument::kDate},
    Key{"BODY", Argument::kString},       Key{"CC", Argument::kString},
    Key{"DELETED", Argument::kNone},      Key{"DRAFT", Argument::kNone},
    Key{"FLAGGED", Argument::kNone},      Key{"FROM", Argument::kString},
    Key{"HEADER", Argument::kTwoStrings}, Key{"KEYWORD", Argument::kFlag},
    Key{"LARGER", Argument::kNumber},     Key{"NEW", Argument::kNone},
    Key{"OLD", Argument::kNone},          Key{"OLDER", Argument::kPositive},
    Key{"ON", Argument::kDate},           Key{"RECENT", Argument::kNone},
    Key{"SEEN", Argument::kNone},         Key{"SENTBEFORE", Argument::kDate},
    Key{"SENTON", Argument::kDate},       Key{"SENTSINCE", Argument::kDate},
    Key{"SINCE", Argument::kDate},        Key{"SMALLER", Argument::kNumber},
    Key{"SUBJECT", Argument::kString},    Key{"TEXT", Argument::kString},
    Key{"TO", Argument::kString},         Key{"UID", Argument::kSet},
    Key{"UNANSWERED", Argument::kNone},   Key{"UNDELETED", Argument::kNone},
    Key{"UNDRAFT", Argument::kNone},      Key{"UNFLAGGED", Argument::kNone},
    Key{"UNKEYWORD", Argument::kFlag},    Key{"UNSEEN", Argument::kNone},
    Key{"YOUNGER", Argument::kPositive},
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// date-text of RFC 3501, 9: 1-Feb-1994.
bool is_date(std::string_view text) {
  const size_t day_length = text.find('-');
  if (day_length == 0 || day_length > 2 || text.size() != day_length + 9 || text[day_length + 4] != '-')
    return false;
  const std::string_view year = text.substr(day_length + 5);
  if (!std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(day_length), is_digit))
    return false;
  if (!std::all_of(year.begin(), year.end(), is_digit)) return false;
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return std::any_of(kMonths.begin(), kMonths.end(), [&](std::string_view month) {
    return base::equals_ignore_case(month, text.substr(day_length + 1, 3));
  });
}

std::string quote_for_reader(std::string_view text) {
  constexpr size_t kShown = 40;
  std::string out;
  write_text(out, text.substr(0, kShown));
  return out;
}

bool is_string(const Token& token) {
  return token.kind != Token::Kind::kOpen && token.kind != Token::Kind::kClose;
}

class Walker {
 public:
  Walker(std::string_view text, SearchForm form, SearchKeys& keys)
      : text_(text), reader_(text), form_(form), keys_(keys) {}

  void walk() {
    if (read_beginning()) read_keys();
  }

 private:
  // A parenthesised list, or NOT and OR with the number of keys that they still wait for.
  struct Frame {
    bool is_list;
    size_t count;  // of a list: the keys in it so far
  };

  bool fail(std::string problem) {
    keys_.problem = std::move(problem);
    return false;
  }

  bool read_beginning() {
    if (form_ == SearchForm::kSearch) return read_return() && read_charset();
    if (!(form_ == SearchForm::kSort ? read_sort_criteria() : read_algorithm())) return false;
    const auto charset = reader_.space() ? reader_.astring() : std::nullopt;
    if (!charset || !reader_.space()) return fail("Charset expected");
    keys_.charset = *charset;
    return true;
  }

  bool next_is(std::string_view word) const {
    const auto token = reader_.peek();
    return token && token->kind == Token::Kind::kAtom && base::equals_ignore_case(token->value, word);
  }

  bool read_return() {
    if (!next_is("RETURN")) return true;
    reader_.next();
    keys_.has_return = true;
    if (!reader_.space() || !reader_.open()) return fail("RETURN without a list of options");
    while (!reader_.close()) {
      const auto option = reader_.atom();
      if (!option) return fail("RETURN without a list of options");
      std::string name = base::upper(*option);
      if (name != "MIN" && name != "MAX" && name != "ALL" && name != "COUNT" && name != "SAVE") {
        return fail("Unknown search return option " + quote_for_reader(*option));
      }
      keys_.return_options.push_back(std::move(name));
      if (keys_.return_options.size() > kMaxDepth) return fail("Too many search return options");
    }
    return reader_.space() || fail("Search key expected");
  }

  bool read_charset() {
    if (!next_is("CHARSET")) return true;
    reader_.next();
    const auto charset = reader_.space() ? reader_.astring() : std::nullopt;
    if (!charset || !reader_.space()) return fail("Charset expected");
    keys_.charset = *charset;
    return true;
  }

  bool read_sort_criteria() {
    if (!reader_.open()) return fail("Sort criteria expected");
    const size_t begin = reader_.position();
    while (const auto criterion = reader_.atom()) {
      constexpr std::array<std::string_view, 10> kCriteria = {
          "ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "REVERSE", "SIZE", "SUBJECT", "TO"};
      const bool known = std::any_of(kCriteria.begin(), kCriteria.end(), [&](std::string_view name) {
        return base::equals_ignore_case(name, *criterion);
      });
      if (!known) return fail("Unknown sort criterion " + quote_for_reader(*criterion));
    }
    keys_.method = text_.substr(begin, reader_.position() - begin);
    if (keys_.method.empty() || !reader_.close()) return fail("Sort criteria expected");
    return true;
  }

  bool read_algorithm() {
    const auto algorithm = reader_.atom();
    if (!algorithm) return fail("Threading algorithm expected");
    keys_.method = *algorithm;
    return true;
  }

  bool read_keys() {
    keys_.keys_at = reader_.position();
    for (;;) {
      const bool spaced =
          reader_.position() == keys_.keys_at || after_open_ || reader_.rest().starts_with(' ');
      const auto token = reader_.next();
      if (!token) break;
      if (token->kind == Token::Kind::kClose) {
        if (stack_.empty() || !stack_.back().is_list || stack_.back().count == 0) return fail("Unexpected )");
        stack_.pop_back();
        end_key();
        continue;
      }
      if (!spaced) return fail("Space expected in search keys");
      after_open_ = false;
      if (token->kind == Token::Kind::kOpen) {
        if (!push({.is_list = true, .count = 0})) return false;
        after_open_ = true;
      } else if (token->kind != Token::Kind::kAtom) {
        return fail("A string is no search key");
      } else if (!read_key(token->value)) {
        return false;
      }
    }
    if (reader_.rest().find_first_not_of(' ') != std::string_view::npos) return fail("Malformed search key");
    if (!stack_.empty() || is_empty_) return fail("Search key expected");
    return true;
  }

  bool push(Frame frame) {
    if (stack_.size() == kMaxDepth) return fail("Search keys are nested too deeply");
    stack_.push_back(frame);
    return true;
  }

  void end_key() {
    is_empty_ = false;
    while (!stack_.empty()) {
      Frame& top = stack_.back();
      if (top.is_list) {
        ++top.count;
        return;
      }
      if (--top.count > 0) return;
      stack_.pop_back();
    }
  }

  bool read_key(std::string_view word) {
    if (base::equals_ignore_case(word, "NOT")) return push({.is_list = false, .count = 1});
    if (base::equals_ignore_case(word, "OR")) return push({.is_list = false, .count = 2});
    if (is_digit(word.front()) || word.front() == '*') {
      if (!SequenceSet::parse(word)) return fail("Invalid message set " + quote_for_reader(word));
      keys_.number_sets.push_back({static_cast<size_t>(word.data() - text_.data()), word.size()});
      end_key();
      return true;
    }
    const auto key = std::find_if(kKeys.begin(), kKeys.end(), [&](const Key& known) {
      return base::equals_ignore_case(known.name, word);
    });
    if (key == kKeys.end()) return fail("Unknown search key " + quote_for_reader(word));
    if (!read_argument(key->argument)) {
      return fail("Missing or invalid argument of search key " + std::string(key->name));
    }
    if (key->argument == Argument::kSet) {
      const auto begin = static_cast<size_t>(word.data() - text_.data());
      keys_.uid_keys.push_back({begin, reader_.position() - begin});
    }
    end_key();
    return true;
  }

  bool read_argument(Argument argument) {
    if (argument == Argument::kNone) return true;
    if (!reader_.space()) return false;
    if (argument == Argument::kNumber) return reader_.number64().has_value();
    if (argument == Argument::kPositive) return reader_.number64().value_or(0) > 0;
    const auto token = reader_.next();
    if (!token || !is_string(*token)) return false;
    switch (argument) {
      case Argument::kTwoStrings:
        return read_argument(Argument::kString);
      case Argument::kDate:
        return token->kind != Token::Kind::kLiteral && is_date(token->value);
      case Argument::kFlag:
        return token->kind == Token::Kind::kAtom;
      case Argument::kSet:
        return token->kind == Token::Kind::kAtom && SequenceSet::parse(token->value).has_value();
      default:
        return true;
    }
  }

  std::string_view text_;
  TokenReader reader_;
  SearchForm form_;
  SearchKeys& keys_;
  std::vector<Frame> stack_;
  bool after_open_ = false;
  bool is_empty_ = true;
};

}  // namespace

SearchKeys parse_search(std::string_view arguments, SearchForm form) {
  SearchKeys keys;
  Walker(arguments, form, keys).walk();
  return keys;
}

std::string SearchKeys::replaced(std::string_view text, std::vector<Replacement> replacements) {
  std::sort(replacements.begin(), replacements.end(),
            [](const Replacement& a, const Replacement& b) { return a.piece.offset < b.piece.offset; });
  std::string out;
  size_t copied = 0;
  for (const auto& [piece, replacement] : replacements) {
    out += text.substr(copied, piece.offset - copied);
    out += replacement;
    copied = piece.offset + piece.length;
  }
  out += text.substr(copied);
  return out;
}

}  // namespace imapmux::wire
