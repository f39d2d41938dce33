// Cuts what a client sends into commands (RFC 3501, 9; RFC 7888 for LITERAL+ and LITERAL-).
//
// Resumable at every octet, without I/O. One per client session, on its thread, as long as the session.
// It works on lines: an octet is looked at once by memchr, and once more by whoever reads the arguments.
//
// Literals: those of APPEND behind the mailbox name are announced and streamed, all others are collected in place
// (up to CommandLimits::max_literal). The caller answers kContinue with "+ ...".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/command_table.h"
#include "wire/token_reader.h"

namespace imapmux::wire {

struct CommandLimits {
  size_t max_command = 64 * 1024;  // octets of one command without its literals
  size_t max_literal = 8 * 1024;   // octets of a collected literal; all of one command's together: four times that
};

// One command as the client wrote it. Owns its text; moved from the parser to whoever executes it.
struct Command {
  std::string tag;   // as sent, at most 255 octets
  Verb verb = Verb::kUnknown;
  std::string text;  // from the command name to before the last CRLF, collected literals in place ("{3+}\r\nabc");
                     // for a streamed literal up to and without its "{"
  size_t arguments_at = 0;  // where in text the arguments begin: behind the SP after the name; text.size() if none
  std::string name() const;  // the name as the client wrote it, without "UID "; for kUnknown's error text
  std::string_view arguments() const { return std::string_view(text).substr(arguments_at); }
  TokenReader reader() const { return TokenReader(arguments()); }
};

class CommandParser {
 public:
  enum class Event {
    kNeedMore,      // input is used up
    kCommand,       // take() gives a complete command. For one with streamed literals: what stood behind the last
                    // literal (MULTIAPPEND's text between literals comes with the next kLiteralStart)
    kContinue,      // a collected synchronising literal: the client waits for "+"
    kLiteralStart,  // a streamed literal: take() gives the command so far, literal_size(), literal_waits()
    kLiteralData,   // data() is a piece of it, part of the input
    kLiteralEnd,
    kBad,           // tag() (may be empty) and problem(); the rest of the command is skipped, then parsing goes on
    kTooLong,       // beyond max_command: answer BAD, say BYE, close; nothing more is parsed
  };

  explicit CommandParser(CommandLimits limits) : limits_(limits) {}

  // Consumes from the front of `input` up to the next event.
  Event next(std::string_view& input);

  Command take();                               // after kCommand, kLiteralStart
  uint64_t literal_size() const;                // after kLiteralStart
  bool literal_waits() const;                   // true: the client waits for "+" (or for a tagged NO)
  std::string_view data() const;                // after kLiteralData
  const std::string& tag() const;               // after kBad, kTooLong
  const std::string& problem() const;           // after kBad, kTooLong: fit for "tag BAD problem"

  // After kLiteralStart with literal_waits(): the caller answers tagged NO; the client sends no literal, and the
  // next octet begins a new command.
  void refuse_literal();
  // Raised after login.
  void set_limits(CommandLimits limits);
  // Between commands only: nothing of a command has been read yet.
  bool idle() const;

 private:
  CommandLimits limits_;
  // the rest as the implementation needs it
};

}  // namespace imapmux::wire
