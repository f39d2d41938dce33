#include "wire/response_parser.h"

#include <algorithm>

#include "base/bytes.h"
#include "wire/word_key.h"

namespace imapmux::wire {
namespace {

constexpr size_t kKeptCapacity = 16 * 1024;
constexpr size_t kBehindLiteral = 64;  // what usually follows: other attributes, the end

ResponseName long_name(std::string_view word) {
  if (base::equals_ignore_case(word, "CAPABILITY")) return ResponseName::kCapability;
  if (base::equals_ignore_case(word, "NAMESPACE")) return ResponseName::kNamespace;
  return ResponseName::kOther;
}

ResponseName find_name(std::string_view word) {
  if (word.size() > 8) return long_name(word);
  switch (key_of(word)) {
    case key_of("FETCH"):
      return ResponseName::kFetch;
    case key_of("OK"):
      return ResponseName::kOk;
    case key_of("NO"):
      return ResponseName::kNo;
    case key_of("BAD"):
      return ResponseName::kBad;
    case key_of("BYE"):
      return ResponseName::kBye;
    case key_of("PREAUTH"):
      return ResponseName::kPreauth;
    case key_of("FLAGS"):
      return ResponseName::kFlags;
    case key_of("LIST"):
      return ResponseName::kList;
    case key_of("LSUB"):
      return ResponseName::kLsub;
    case key_of("STATUS"):
      return ResponseName::kStatus;
    case key_of("SEARCH"):
      return ResponseName::kSearch;
    case key_of("ESEARCH"):
      return ResponseName::kEsearch;
    case key_of("SORT"):
      return ResponseName::kSort;
    case key_of("THREAD"):
      return ResponseName::kThread;
    case key_of("ENABLED"):
      return ResponseName::kEnabled;
    case key_of("ID"):
      return ResponseName::kId;
    case key_of("EXISTS"):
      return ResponseName::kExists;
    case key_of("RECENT"):
      return ResponseName::kRecent;
    case key_of("EXPUNGE"):
      return ResponseName::kExpunge;
    case key_of("EXPUNGED"):
      return ResponseName::kExpunge;  // GNU imap4d 3.15
    case key_of("VANISHED"):
      return ResponseName::kVanished;
    default:
      return ResponseName::kOther;
  }
}

bool is_status(ResponseName name) {
  return name >= ResponseName::kOk && name <= ResponseName::kPreauth;
}
bool needs_number(ResponseName name) {
  return name == ResponseName::kExists || name == ResponseName::kRecent || name == ResponseName::kExpunge ||
         name == ResponseName::kFetch;
}

// A response's name ends at SP; some servers leave out the one before a list.
std::string_view take_name(std::string_view& rest) {
  size_t length = 0;
  while (length < rest.size() && rest[length] != ' ' && rest[length] != '(') ++length;
  const std::string_view word = rest.substr(0, length);
  rest.remove_prefix(length);
  return word;
}

void skip_spaces(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
}

std::string_view without_end(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Where the "]" of a status response's code stands: outside of quoted strings, or, where their quotes don't
// pair, the first one.
size_t code_end(std::string_view text) {
  for (size_t i = 1; i < text.size();) {
    if (text[i] == ']') return i;
    i = text[i] == '"' ? quoted_end(text, i) : i + 1;
  }
  return text.find(']');
}

}  // namespace

ResponseParser::Event ResponseParser::next(std::string_view& input) {
  if (handed_out_) forget_response();
  data_ = {};
  while (!input.empty()) {
    const Event event = next_event(input);
    if (event != Event::kNeedMore) return event;
  }
  if (buffer_.empty()) base::release(buffer_);  // an idle connection holds none
  return Event::kNeedMore;
}

void ResponseParser::forget_response() {
  handed_out_ = false;
  buffer_.clear();
  if (buffer_.capacity() > kKeptCapacity) base::release(buffer_);
  line_at_ = 0;
  response_ = {};
  text_ = {};
}

ResponseParser::Event ResponseParser::next_event(std::string_view& input) {
  const auto take_octets = [&] {
    const auto octets = input.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining_, input.size())));
    input.remove_prefix(octets.size());
    remaining_ -= octets.size();
    return octets;
  };
  switch (state_) {
    case State::kLine:
      return read_line(input);
    case State::kInline:
      buffer_ += take_octets();
      if (remaining_ == 0) {
        state_ = State::kLine;
        line_at_ = buffer_.size();
      }
      return Event::kNeedMore;
    case State::kStream:
      data_ = take_octets();
      if (remaining_ == 0) {
        state_ = State::kLine;
        in_text_ = true;
      }
      return Event::kLiteralData;
    case State::kBroken:
      input = {};
      return Event::kNeedMore;
  }
  return Event::kNeedMore;
}

bool ResponseParser::too_long(size_t octets) const {
  return octets > limits_.max_line - std::min(earlier_octets_, limits_.max_line);
}

ResponseParser::Event ResponseParser::read_line(std::string_view& input) {
  const size_t end = input.find('\n');
  std::string_view text = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  if (end == std::string_view::npos || !buffer_.empty()) {
    buffer_ += text;
    text = buffer_;
  }
  for (;;) {
    // The CR is not counted: it must not matter whether the line end came in one piece.
    if (text.size() > line_at_) text = without_end(text);
    if (too_long(text.size())) return broken("the response is too long");
    if (end == std::string_view::npos) return Event::kNeedMore;
    // `text` is the whole response, or the whole text behind a streamed literal, up to the end of a line.
    const auto literal = literal_head_at_end(text.substr(line_at_));
    if (!literal) break;
    if (line_at_ == 0) takes_literals_ = in_text_ || takes_literals(text);
    if (!takes_literals_) break;
    if (!takes_in(text, *literal, input)) return on_literal(text, *literal);
  }
  while (text.size() > line_at_ && text.back() == ' ') text.remove_suffix(1);
  return hand_out(text, false);
}

// A literal that lies in the chunk as a whole, and the line behind it, too, is read where it lies. `text`
// becomes what is read then.
bool ResponseParser::takes_in(std::string_view& text, const LiteralHead& head, std::string_view& input) {
  const bool in_chunk = buffer_.empty() && text.data() + text.size() + 2 == input.data();  // behind CRLF
  if (!in_chunk || head.overflow || head.size > limits_.max_inline) return false;
  const size_t octets_at = text.size() + 2;
  const auto size = static_cast<size_t>(head.size);
  const size_t end = input.find('\n', size);  // nowhere if there is less
  if (end == std::string_view::npos || too_long(octets_at + size)) return false;
  text = std::string_view(text.data(), octets_at + end);
  line_at_ = octets_at + size;
  input.remove_prefix(end + 1);
  return true;
}

// Status responses and continuations end with a text for people, and hold no literal whatever it looks like.
bool ResponseParser::takes_literals(std::string_view text) {
  if (!text.starts_with("* ")) return false;
  text.remove_prefix(2);
  skip_spaces(text);
  return !is_status(find_name(take_name(text)));
}

ResponseParser::Event ResponseParser::on_literal(std::string_view text, const LiteralHead& head) {
  if (head.overflow) return broken("a literal is too large");
  if (head.size > limits_.max_inline) {
    literal_ = head;
    remaining_ = head.size;
    state_ = State::kStream;
    return hand_out(text.substr(0, text.size() - head.length), true);
  }
  if (too_long(text.size() + 2 + static_cast<size_t>(head.size))) return broken("the response is too long");
  if (buffer_.empty()) {
    buffer_.reserve(text.size() + static_cast<size_t>(head.size) + kBehindLiteral);
    buffer_ = text;
  } else {
    buffer_.resize(text.size());
  }
  buffer_ += "\r\n";
  remaining_ = head.size;
  line_at_ = buffer_.size();
  if (remaining_ > 0) state_ = State::kInline;
  return Event::kNeedMore;
}

ResponseParser::Event ResponseParser::hand_out(std::string_view text, bool more) {
  const bool is_text = in_text_;
  handed_out_ = true;
  if (more) {
    earlier_octets_ += text.size();
  } else {
    earlier_octets_ = 0;
    in_text_ = false;
    state_ = State::kLine;
  }
  if (is_text) {
    text_ = text;
    more_literal_ = more;
    return Event::kText;
  }
  response_ = {};
  response_.line = text;
  response_.literal_follows = more;
  return parse_head() ? Event::kResponse : Event::kMalformed;
}

ResponseParser::Event ResponseParser::broken(std::string_view problem) {
  problem_ = problem;
  state_ = State::kBroken;
  base::release(buffer_);
  remaining_ = 0;
  return Event::kMalformed;
}

bool ResponseParser::malformed(std::string_view problem) {
  broken(problem);
  response_ = {};
  return false;
}

bool ResponseParser::parse_head() {
  std::string_view rest = response_.line;
  if (rest.starts_with("* ")) {
    rest.remove_prefix(2);
    skip_spaces(rest);
    return parse_untagged(rest);
  }
  if (rest == "+" || rest.starts_with("+ ")) {
    response_.kind = Response::Kind::kContinuation;
    response_.arguments = rest.substr(std::min<size_t>(rest.size(), 2));
    return true;
  }
  const std::string_view tag = rest.substr(0, rest.find(' '));
  if (!is_tag(tag)) return malformed("neither \"* \" nor \"+ \" nor a tag at the beginning of a response");
  rest.remove_prefix(tag.size());
  skip_spaces(rest);
  const ResponseName name = find_name(take_name(rest));
  if (name != ResponseName::kOk && name != ResponseName::kNo && name != ResponseName::kBad) {
    return malformed("a tagged response is neither OK nor NO nor BAD");
  }
  response_.kind = Response::Kind::kTagged;
  response_.name = name;
  response_.tag = tag;
  parse_status_text(rest);
  return true;
}

bool ResponseParser::parse_untagged(std::string_view rest) {
  std::string_view word = take_name(rest);
  if (word.empty()) return malformed("an untagged response without a name");
  if (std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    const auto number = parse_number32(word);
    if (!number) return malformed("a message number beyond 32 bits");
    response_.has_number = true;
    response_.number = *number;
    skip_spaces(rest);
    word = take_name(rest);
  }
  const ResponseName name = find_name(word);
  response_.name = needs_number(name) == response_.has_number ? name : ResponseName::kOther;
  if (is_status(response_.name)) {
    parse_status_text(rest);
  } else {
    skip_spaces(rest);
    response_.arguments = rest;
  }
  return true;
}

void ResponseParser::parse_status_text(std::string_view text) {
  skip_spaces(text);
  response_.arguments = text;
  if (!text.starts_with('[')) return;
  const size_t end = code_end(text);
  if (end == std::string_view::npos) return;
  std::string_view inner = text.substr(1, end - 1);
  skip_spaces(inner);
  if (inner.empty()) return;
  response_.code = take_name(inner);
  skip_spaces(inner);
  response_.code_arguments = inner;
  text.remove_prefix(end + 1);
  skip_spaces(text);
  response_.arguments = text;
}

const Response& ResponseParser::response() const {
  return response_;
}
uint64_t ResponseParser::literal_size() const {
  return literal_.size;
}
bool ResponseParser::literal8() const {
  return literal_.literal8;
}
std::string_view ResponseParser::data() const {
  return data_;
}
std::string_view ResponseParser::text() const {
  return text_;
}
bool ResponseParser::more_literal() const {
  return more_literal_;
}
const std::string& ResponseParser::problem() const {
  return problem_;
}

bool ResponseParser::idle() const {
  return state_ == State::kLine && !in_text_ && (handed_out_ || buffer_.empty());
}

}  // namespace imapmux::wire
