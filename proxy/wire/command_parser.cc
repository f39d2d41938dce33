#include "wire/command_parser.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/bytes.h"

namespace imapmux::wire {
namespace {

constexpr uint64_t kMaxLiteralSize = UINT32_MAX;  // RFC 3501, 9: number

bool has_control_character(std::string_view line) {
  bool found = false;  // without an early end, so that the compiler can do many octets at a time
  for (const char c : line) found |= static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  return found;
}

std::string_view without_cr(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find(' '));
}

bool is_uid(std::string_view word) {
  return base::equals_ignore_case(word, "UID");
}

// {n} is a literal only where an argument may begin: `foo{3}` at the end of a line is just malformed.
std::optional<LiteralHead> find_literal(std::string_view line) {
  const auto head = literal_head_at_end(line);
  if (!head || head->length == line.size()) return std::nullopt;
  const char before = line[line.size() - head->length - 1];
  if (before != ' ' && before != '(') return std::nullopt;
  return head;
}

}  // namespace

std::string Command::name() const {
  if (arguments_at == 0) return std::string(info(verb).name);
  const std::string_view word = first_word(text);
  if (!is_uid(word) || word.size() + 1 >= text.size()) return std::string(word);
  const std::string_view second = first_word(std::string_view(text).substr(word.size() + 1));
  return std::string(second.empty() ? word : second);
}

CommandParser::Event CommandParser::next(std::string_view& input) {
  if (finished_) begin_anew();
  data_ = {};
  while (!input.empty() ||
         (remaining_ == 0 && (state_ == State::kCollecting || state_ == State::kStreaming))) {
    const Event event = next_event(input);
    if (event != Event::kNeedMore) return event;
  }
  return Event::kNeedMore;
}

CommandParser::Event CommandParser::next_event(std::string_view& input) {
  const auto take_octets = [&] {
    const auto octets = input.substr(0, static_cast<size_t>(std::min<uint64_t>(remaining_, input.size())));
    input.remove_prefix(octets.size());
    remaining_ -= octets.size();
    return octets;
  };
  switch (state_) {
    case State::kCommandLine:
    case State::kContinuationLine:
      return read_line(input);
    case State::kCollecting:
      text_ += take_octets();
      if (remaining_ == 0) {
        state_ = State::kContinuationLine;
        line_at_ = text_.size();
      }
      return Event::kNeedMore;
    case State::kStreaming:
      if (remaining_ > 0) {
        data_ = take_octets();
        return Event::kLiteralData;
      }
      state_ = State::kContinuationLine;
      text_.clear();
      line_at_ = 0;
      arguments_at_ = 0;
      return Event::kLiteralEnd;
    case State::kSkippingLine:
      return skip_line(input);
    case State::kSkippingLiteral:
      take_octets();
      if (remaining_ == 0) state_ = State::kSkippingLine;
      return Event::kNeedMore;
    case State::kDead:
      input = {};
      return Event::kNeedMore;
  }
  return Event::kNeedMore;
}

bool CommandParser::too_long(size_t octets) const {
  return octets > limits_.max_command - std::min(command_octets_, limits_.max_command);
}

void CommandParser::begin_anew() {
  state_ = State::kCommandLine;
  finished_ = false;
  streamed_ = false;
  remaining_ = 0;
  command_octets_ = 0;
  literal_octets_ = 0;
  line_at_ = 0;
  verb_ = Verb::kUnknown;
  arguments_at_ = 0;
  if (!text_.empty()) base::wipe(text_);  // a line that came in pieces may have been a password
  line_ = {};
}

CommandParser::Event CommandParser::read_line(std::string_view& input) {
  const size_t end = input.find('\n');
  std::string_view line = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  const bool in_text = end == std::string_view::npos || text_.size() > line_at_;
  if (in_text) {
    text_ += line;
    line = std::string_view(text_).substr(line_at_);
  }
  line = without_cr(line);
  if (too_long(line.size())) {
    if (state_ == State::kCommandLine) {
      // Looks no further than the limit, so that it does not depend on how much came at once.
      const std::string_view begin = line.substr(0, limits_.max_command);
      const std::string_view word = first_word(begin);
      tag_ = is_tag(word) && word.size() < begin.size() ? word : std::string_view();
    }
    return dead("Command too long");
  }
  if (end == std::string_view::npos) return Event::kNeedMore;
  command_octets_ += line.size();
  return on_line(line, in_text);
}

CommandParser::Event CommandParser::on_line(std::string_view line, bool in_text) {
  const bool has_control = has_control_character(line);
  if (state_ == State::kCommandLine) {
    const std::string_view word = first_word(line);
    tag_ = is_tag(word) ? word : std::string_view();
    if (line.empty()) return bad("Empty command line", line);
    if (tag_.empty()) return bad("Invalid tag", line);
    if (has_control) return bad("Control character in command", line);
    if (word.size() + 1 >= line.size() || line[word.size() + 1] == ' ')
      return bad("Missing command name", line);
  } else if (has_control) {
    return bad("Control character in command", line);
  }
  const auto literal = find_literal(line);
  if (state_ == State::kCommandLine) {
    if (literal && literal->length + tag_.size() + 1 == line.size()) return bad("Missing command name", line);
    begin_command(line, in_text);
  } else if (in_text) {
    text_.resize(line_at_ + line.size());
  } else {
    text_ += line;
  }
  if (literal) return on_literal(*literal);
  finished_ = true;
  return Event::kCommand;
}

void CommandParser::begin_command(std::string_view line, bool in_text) {
  const size_t name_at = tag_.size() + 1;
  if (in_text) {
    text_.resize(line.size());
    text_.erase(0, name_at);
  } else {
    text_.assign(line.substr(name_at));
  }
  const std::string_view text = text_;
  std::string_view word = first_word(text);
  arguments_at_ = std::min(text.size(), word.size() + 1);
  if (!is_uid(word) || arguments_at_ == text.size()) {
    verb_ = find_verb(word, false);
    return;
  }
  word = first_word(text.substr(arguments_at_));
  verb_ = find_verb(word, true);
  arguments_at_ = std::min(text.size(), arguments_at_ + word.size() + 1);
}

// text_ ends with the literal's head.
CommandParser::Event CommandParser::on_literal(const LiteralHead& head) {
  const bool too_large = head.overflow || head.size > kMaxLiteralSize;
  if (too_large && head.plus) return dead("Literal too large");
  if (too_large) return bad("Literal too large", {});

  const size_t head_at = text_.size() - head.length;
  const bool is_first_argument = !streamed_ && text_.find_first_not_of(' ', arguments_at_) >= head_at;
  if (verb_ == Verb::kAppend && !is_first_argument) {
    text_.resize(head_at);
    literal_ = head;
    remaining_ = head.size;
    streamed_ = true;
    state_ = State::kStreaming;
    return Event::kLiteralStart;
  }

  const size_t all = literal_octets_ + static_cast<size_t>(head.size);
  if (head.size > limits_.max_literal || all > limits_.max_literal * 4) {
    return bad("Literal too large", std::string_view(text_).substr(head_at - 1));
  }
  literal_octets_ = all;
  text_ += "\r\n";
  remaining_ = head.size;
  state_ = State::kCollecting;
  return head.plus ? Event::kNeedMore : Event::kContinue;
}

CommandParser::Event CommandParser::bad(std::string_view problem, std::string_view line) {
  problem_ = problem;
  const auto literal = find_literal(line);
  base::release(text_);
  if (!literal || !literal->plus) {
    // A client with a synchronising literal was told BAD instead of "+" and sends nothing more of it.
    finished_ = true;
    return Event::kBad;
  }
  if (literal->overflow || literal->size > kMaxLiteralSize) return dead("Literal too large");
  skip_literal(literal->size);
  return Event::kBad;
}

CommandParser::Event CommandParser::dead(std::string_view problem) {
  problem_ = problem;
  base::release(text_);
  remaining_ = 0;
  state_ = State::kDead;
  return Event::kTooLong;
}

void CommandParser::skip_literal(uint64_t size) {
  base::release(text_);
  skipped_ = 0;
  remaining_ = size;
  state_ = State::kSkippingLiteral;
}

CommandParser::Event CommandParser::skip_line(std::string_view& input) {
  const size_t end = input.find('\n');
  const std::string_view part = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  skipped_ += part.size();
  // text_ remembers what a literal's head, the octet before it and CR need.
  constexpr size_t kTail = kMaxLiteralHead + 2;
  text_ += part.substr(part.size() - std::min(part.size(), kTail));
  if (text_.size() > kTail) text_.erase(0, text_.size() - kTail);

  const std::string_view line = without_cr(text_);
  const size_t octets = skipped_ - (text_.size() - line.size());
  if (too_long(octets)) {
    tag_.clear();  // it was answered already
    return dead("Command too long");
  }
  if (end == std::string_view::npos) return Event::kNeedMore;
  command_octets_ += octets;
  const auto literal = find_literal(line);
  if (!literal || !literal->plus) {
    begin_anew();
    return Event::kNeedMore;
  }
  if (literal->overflow || literal->size > kMaxLiteralSize) {
    tag_.clear();
    return dead("Literal too large");
  }
  skip_literal(literal->size);
  return Event::kNeedMore;
}

CommandParser::Event CommandParser::next_line(std::string_view& input) {
  if (finished_) begin_anew();
  if (state_ != State::kCommandLine) return next(input);
  if (input.empty()) return Event::kNeedMore;
  const size_t end = input.find('\n');
  line_ = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  if (end == std::string_view::npos || !text_.empty()) {
    text_ += line_;
    line_ = text_;
  }
  line_ = without_cr(line_);
  if (too_long(line_.size())) {
    tag_.clear();
    line_ = {};
    return dead("Line too long");
  }
  if (end == std::string_view::npos) return Event::kNeedMore;
  finished_ = true;
  return Event::kCommand;
}

Command CommandParser::take() {
  Command command;
  take(command);
  return command;
}

void CommandParser::take(Command& to) {
  if (finished_) {
    to.tag = std::move(tag_);
  } else {
    to.tag = tag_;  // which may be needed for what is wrong with the rest
  }
  to.verb = verb_;
  to.text = std::move(text_);
  text_.clear();
  to.arguments_at = arguments_at_;
}

uint64_t CommandParser::literal_size() const {
  return literal_.size;
}
bool CommandParser::literal_waits() const {
  return !literal_.plus;
}
bool CommandParser::literal8() const {
  return literal_.literal8;
}
std::string_view CommandParser::data() const {
  return data_;
}
const std::string& CommandParser::tag() const {
  return tag_;
}
const std::string& CommandParser::problem() const {
  return problem_;
}
std::string_view CommandParser::line() const {
  return line_;
}

void CommandParser::refuse_literal() {
  if (state_ != State::kStreaming) return;
  if (literal_.plus) {
    skip_literal(remaining_);
  } else {
    begin_anew();
  }
}

void CommandParser::set_limits(CommandLimits limits) {
  limits_ = limits;
}

bool CommandParser::idle() const {
  return finished_ || (state_ == State::kCommandLine && text_.empty());
}

}  // namespace imapmux::wire
