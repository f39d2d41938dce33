// Walks the arguments of SEARCH, SORT and THREAD (RFC 3501, 6.4.4 and 9; RFC 4731; RFC 5032, 3; RFC 5256), in
// any depth, and says where the sets of message sequence numbers stand: they are what a proxy has to rewrite.
// A plain function on a complete text; allocates only for its answer.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace imapmux::wire {

enum class SearchForm : uint8_t {
  kSearch,  // [RETURN (...)] [CHARSET x] keys
  kSort,    // (criteria) charset keys
  kThread,  // algorithm charset keys
};

struct SearchKeys {
  struct Piece {
    size_t offset;  // within the text given
    size_t length;
    friend bool operator==(const Piece&, const Piece&) = default;
  };

  std::string problem;  // empty if all is well; else fit for "tag BAD problem", and the rest means nothing
  std::vector<Piece> number_sets;  // message sequence numbers as keys, as they stand; not those behind UID
  std::vector<Piece> uid_keys;     // UID and its set, "UID 1:5"
  bool has_return = false;         // RETURN (...) is there, maybe empty
  std::vector<std::string> return_options;  // MIN, MAX, ALL, COUNT, SAVE; in upper case
  std::string charset;                      // as sent; empty if none
  std::string_view method;                  // SORT: what is between the parentheses; THREAD: the algorithm
  size_t keys_at = 0;                       // where the first key begins

  struct Replacement {
    Piece piece;
    std::string text;
  };
  // `text` with these pieces of it replaced, which come in any order and do not overlap.
  static std::string replaced(std::string_view text, std::vector<Replacement> replacements);
};

// `arguments`: all that stands behind the command's name, without a leading SP, literals in place.
SearchKeys parse_search(std::string_view arguments, SearchForm form = SearchForm::kSearch);

}  // namespace imapmux::wire
