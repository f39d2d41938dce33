#include "wire/number_lists.h"

#include <algorithm>

#include "wire/lexical.h"
#include "wire/sequence_set.h"
#include "wire/token_reader.h"
#include "wire/writer.h"

namespace imapmux::wire {
namespace {

// Reads all of THREAD's answer into nodes first: whether a list keeps its parentheses is known only when the
// one around it has ended.
class ThreadMapper {
 public:
  explicit ThreadMapper(const std::function<uint32_t(uint32_t)>& map) : map_(map) {}

  bool read(std::string_view text) {
    TokenReader reader(text);
    while (const auto token = reader.next()) {
      if (!read_token(*token)) return false;
    }
    return lists_.empty() && reader.rest().find_first_not_of(' ') == std::string_view::npos;
  }

  std::string write() const {
    std::string out;
    for (const Node& node : nodes_) {
      if (!node.is_written) continue;
      // thread-members and thread-nested are separated by SP, but not ")(" (RFC 5256, 5).
      const bool behind_number = !out.empty() && out.back() != '(' && out.back() != ')';
      if (behind_number && node.kind != Kind::kClose) out += ' ';
      if (node.kind == Kind::kNumber) {
        out += std::to_string(node.value);
      } else {
        out += node.kind == Kind::kOpen ? '(' : ')';
      }
    }
    return out;
  }

 private:
  enum class Kind : uint8_t { kNumber, kOpen, kClose };
  struct Node {
    Kind kind;
    bool is_written;
    size_t value;  // the mapped number; of a "(": where its ")" is
  };
  // A list that is not closed yet.
  struct List {
    size_t open;                // among the nodes
    bool has_numbers = false;   // in the answer
    bool has_messages = false;  // that are left
    bool has_lists = false;     // in the answer
    size_t threads = 0;         // lists in it that are left
    size_t thread = 0;          // one of them
  };

  bool read_token(const Token& token) {
    switch (token.kind) {
      case Token::Kind::kOpen:
        if (!lists_.empty()) lists_.back().has_lists = true;
        lists_.push_back({.open = nodes_.size()});
        nodes_.push_back({Kind::kOpen, true, 0});
        return true;
      case Token::Kind::kClose:
        return close();
      case Token::Kind::kAtom:
        return number(token.value);
      default:
        return false;
    }
  }

  bool number(std::string_view digits) {
    const auto number = parse_number32(digits);
    if (!number || *number == 0 || lists_.empty() || lists_.back().has_lists) return false;
    List& list = lists_.back();
    list.has_numbers = true;
    const uint32_t mapped = map_(*number);
    if (mapped == 0) return true;
    list.has_messages = true;
    nodes_.push_back({Kind::kNumber, true, mapped});
    return true;
  }

  bool close() {
    if (lists_.empty()) return false;
    const List list = lists_.back();
    lists_.pop_back();
    if (!list.has_numbers && !list.has_lists) return false;
    nodes_[list.open].value = nodes_.size();
    nodes_.push_back({Kind::kClose, true, 0});
    if (list.threads == 1) unwrap(list.thread);  // an only child stands behind its parent
    if (!list.has_messages && list.threads == 0) {
      unwrap(list.open);
    } else if (!list.has_messages && list.threads > 1 && list.has_numbers && !lists_.empty()) {
      unwrap(list.open);  // the children go up
      lists_.back().threads += list.threads;
    } else if (!lists_.empty()) {
      ++lists_.back().threads;
      lists_.back().thread = list.open;
    }
    return true;
  }

  void unwrap(size_t open) {
    nodes_[open].is_written = false;
    nodes_[nodes_[open].value].is_written = false;
  }

  const std::function<uint32_t(uint32_t)>& map_;
  std::vector<Node> nodes_;
  std::vector<List> lists_;
};

}  // namespace

bool read_numbers(std::string_view arguments, std::vector<uint32_t>& to) {
  TokenReader reader(arguments);
  while (const auto number = reader.number()) {
    if (*number == 0) return false;
    to.push_back(*number);
  }
  const auto rest = reader.peek();
  if (rest && (rest->kind != Token::Kind::kOpen || !reader.skip_value())) return false;
  return reader.rest().find_first_not_of(' ') == std::string_view::npos;
}

std::optional<std::string> map_threads(std::string_view arguments,
                                       const std::function<uint32_t(uint32_t)>& map) {
  ThreadMapper mapper(map);
  if (!mapper.read(arguments)) return std::nullopt;
  return mapper.write();
}

std::string write_esearch(std::string_view tag, std::vector<uint32_t> numbers,
                          const std::vector<std::string>& options, Numbering numbering) {
  std::ranges::sort(numbers);
  const auto duplicates = std::ranges::unique(numbers);
  numbers.erase(duplicates.begin(), duplicates.end());
  const auto asked = [&](std::string_view option) {
    return std::ranges::find(options, option) != options.end();
  };

  std::string out = "ESEARCH (TAG ";
  write_quoted(out, tag);
  out += ')';
  if (numbering == Numbering::kUids) out += " UID";
  if (!numbers.empty()) {
    if (asked("MIN")) out += " MIN " + std::to_string(numbers.front());
    if (asked("MAX")) out += " MAX " + std::to_string(numbers.back());
    if (options.empty() || asked("ALL")) {
      SequenceSet all;
      for (const uint32_t number : numbers) all.add(number);
      out += " ALL " + all.to_string();
    }
  }
  if (asked("COUNT")) out += " COUNT " + std::to_string(numbers.size());
  return out;
}

}  // namespace imapmux::wire
