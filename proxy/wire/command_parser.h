// Cuts what a client sends into commands (RFC 3501, 9; RFC 7888 for LITERAL+ and LITERAL-).
//
// Resumable at every octet, without I/O. One per client session, on its thread, as long as the session.
// It works on lines: an octet is looked at once by memchr, and once more by whoever reads the arguments.
//
// Literals: those of APPEND behind the mailbox name are announced and streamed, all others are collected in
// place (up to CommandLimits::max_literal). The caller answers kContinue with "+ ...".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/command_table.h"
#include "wire/lexical.h"
#include "wire/token_reader.h"

namespace imapmux::wire {

struct CommandLimits {
  size_t max_command = 64 * 1024;  // octets of one command without its literals
  size_t max_literal = 8 * 1024;   // octets of a collected literal; all of one command's: four times that
};

// One command as the client wrote it. Owns its text; moved from the parser to whoever executes it.
struct Command {
  std::string tag;  // as sent, at most 255 octets
  Verb verb = Verb::kUnknown;
  std::string text;          // from the command name to before the last CRLF, collected literals in place
                             // ("{3+}\r\nabc"); for a streamed literal up to and without its "{" or "~{"
  size_t arguments_at = 0;   // where the arguments begin: behind the SP after the name; text.size() if none;
                             // 0 in MULTIAPPEND's later parts
  std::string name() const;  // the name as the client wrote it, without "UID "; for kUnknown's error text
  std::string_view arguments() const { return std::string_view(text).substr(arguments_at); }
  TokenReader reader() const { return TokenReader(arguments()); }
};

class CommandParser {
 public:
  enum class Event {
    kNeedMore,  // input is used up
    kCommand,   // take() gives a complete command. For one with streamed literals: what stood behind the last
                // literal (MULTIAPPEND's text between literals comes with the next kLiteralStart)
    kContinue,  // a collected synchronising literal: the client waits for "+"
    kLiteralStart,  // a streamed literal: take() gives the command so far, literal_size(), literal_waits()
    kLiteralData,   // data() is a piece of it, part of the input
    kLiteralEnd,
    kBad,      // tag() (may be empty) and problem(); the rest of the command is skipped, then parsing goes on
    kTooLong,  // beyond max_command: answer BAD, say BYE, close; nothing more is parsed
  };

  explicit CommandParser(CommandLimits limits) : limits_(limits) {}

  // Consumes from the front of `input` up to the next event.
  Event next(std::string_view& input);

  Command take();                      // after kCommand, kLiteralStart
  void take(Command& to);              // the same, in the place of `to`
  uint64_t literal_size() const;       // after kLiteralStart
  bool literal_waits() const;          // true: the client waits for "+" (or for a tagged NO)
  bool literal8() const;               // it was announced as ~{n}
  std::string_view data() const;       // after kLiteralData
  const std::string& tag() const;      // after kBad, kTooLong
  const std::string& problem() const;  // after kBad, kTooLong: fit for "tag BAD problem"

  // After kLiteralStart with literal_waits(): the caller answers tagged NO; the client sends no literal, and
  // the next octet begins a new command. Of a client that does not wait, the literal and the command's rest
  // are skipped.
  void refuse_literal();
  // Raised after login.
  void set_limits(CommandLimits limits);
  // Between commands only: nothing of a command has been read yet.
  bool idle() const;

  // For what is no command but the answer to a "+": AUTHENTICATE's base64, IDLE's DONE. Called instead of
  // next() when the last event was kCommand, and again until it gives something else than kNeedMore:
  // kCommand, then line() is the line without its end (any octets but LF; valid until the parser is called
  // again), or kTooLong.
  Event next_line(std::string_view& input);
  std::string_view line() const;

 private:
  enum class State : uint8_t {
    kCommandLine,       // from the tag on
    kContinuationLine,  // behind a literal
    kCollecting,        // a literal's octets go to the text
    kStreaming,         // a literal's octets go to the caller
    kSkippingLine,      // the rest of a bad command
    kSkippingLiteral,
    kDead,
  };

  Event next_event(std::string_view& input);
  Event read_line(std::string_view& input);
  Event skip_line(std::string_view& input);
  // Adds up max_command. `octets`: those of the line so far, without its end.
  bool too_long(size_t octets) const;
  Event on_line(std::string_view line, bool in_text);
  void begin_command(std::string_view line, bool in_text);
  Event on_literal(const LiteralHead& head);
  // `line`: what a literal may stand at the end of; then its octets are skipped, too.
  Event bad(std::string_view problem, std::string_view line);
  Event dead(std::string_view problem);
  void skip_literal(uint64_t size);
  void begin_anew();

  CommandLimits limits_;
  State state_ = State::kCommandLine;
  bool finished_ = false;      // text_ is a complete command, or line(): forgotten by the next call
  bool streamed_ = false;      // the command had a streamed literal already
  LiteralHead literal_;        // the streamed one
  uint64_t remaining_ = 0;     // octets of the current literal still to come
  size_t command_octets_ = 0;  // of the command's lines that are complete
  size_t literal_octets_ = 0;  // of all its collected literals
  size_t line_at_ = 0;         // where in text_ the current line begins
  Verb verb_ = Verb::kUnknown;
  size_t arguments_at_ = 0;
  std::string text_;  // of the command so far, including what came of an incomplete line; when skipping, the
                      // last octets of the line
  size_t skipped_ = 0;  // octets of the line that is skipped
  std::string tag_;
  std::string problem_;
  std::string_view data_;
  std::string_view line_;
};

}  // namespace imapmux::wire
