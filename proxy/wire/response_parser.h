// Cuts what a server sends into responses (RFC 3501, 7 and 9), and normalises what servers get wrong where
// that changes no meaning: bare LF for CRLF, names in any case, `EXPUNGED` for EXPUNGE (GNU imap4d), trailing
// spaces.
//
// Resumable at every octet, without I/O. One per backend connection, on its thread. No allocation per line: a
// response that arrives whole in one chunk is a view of the chunk, else of the parser's buffer; both are
// valid until the next call. Literals up to max_inline are part of the response's text, and their octets are
// not looked at; larger ones are streamed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/lexical.h"
#include "wire/token_reader.h"

namespace imapmux::wire {

struct ResponseLimits {
  size_t max_line =
      16 * 1024 * 1024;  // one response without streamed literals: a SEARCH of a huge mailbox is one line
  size_t max_inline = 4 * 1024;  // a literal up to this size stays in the text
};

enum class ResponseName : uint8_t {
  kOther,
  kOk,
  kNo,
  kBad,
  kBye,
  kPreauth,  // with code and text
  kCapability,
  kFlags,
  kList,
  kLsub,
  kStatus,
  kSearch,
  kEsearch,
  kSort,
  kThread,
  kNamespace,
  kEnabled,
  kId,
  kExists,
  kRecent,
  kExpunge,
  kFetch,
  kVanished,
};

// A view: valid until the parser is called again.
struct Response {
  enum class Kind : uint8_t { kUntagged, kTagged, kContinuation };
  Kind kind = Kind::kUntagged;
  ResponseName name = ResponseName::kOther;
  bool has_number = false;  // "* 23 EXISTS"
  uint32_t number = 0;
  std::string_view tag;   // tagged only
  std::string_view line;  // the whole response without its line end, literals in place
  // Behind the name (and its SP): a list, flags, the FETCH attributes; for the status names: behind the code,
  // i.e. the human text; for a continuation: behind "+ ".
  std::string_view arguments;
  std::string_view code;  // of [CODE args], upper or lower case as sent; empty if none
  std::string_view code_arguments;
  bool literal_follows = false;  // a streamed literal comes next: `line` ends before its "{"
};

class ResponseParser {
 public:
  enum class Event {
    kNeedMore,
    kResponse,     // response(): complete, or with literal_follows the part before the first streamed literal
    kLiteralData,  // data(): a piece of the streamed literal
    kText,  // text(): response text behind a streamed literal; more_literal() if another follows it, else the
            // response is complete
    kMalformed,  // problem(); nothing more is parsed: a server that cannot be understood cannot be served
  };

  explicit ResponseParser(ResponseLimits limits = {}) : limits_(limits) {}

  // Consumes from the front of `input` up to the next event.
  Event next(std::string_view& input);

  const Response& response() const;
  uint64_t literal_size() const;  // of the streamed literal announced by kResponse or kText
  bool literal8() const;          // it was announced as ~{n}
  std::string_view data() const;
  std::string_view text() const;
  bool more_literal() const;
  const std::string& problem() const;
  // Nothing of a response has been read yet.
  bool idle() const;

 private:
  enum class State : uint8_t {
    kLine,    // of a response: from its beginning or behind a literal
    kInline,  // a literal's octets go to the buffer
    kStream,  // a literal's octets go to the caller
    kBroken,
  };

  Event next_event(std::string_view& input);
  Event read_line(std::string_view& input);
  bool takes_in(std::string_view& text, const LiteralHead& head, std::string_view& input);
  Event on_literal(std::string_view text, const LiteralHead& head);
  Event hand_out(std::string_view text, bool more);
  Event broken(std::string_view problem);
  bool malformed(std::string_view problem);
  static bool takes_literals(std::string_view text);
  bool too_long(size_t octets) const;
  // What response_.line says; false if it is malformed.
  bool parse_head();
  bool parse_untagged(std::string_view rest);
  void parse_status_text(std::string_view text);
  void forget_response();

  ResponseLimits limits_;
  State state_ = State::kLine;
  bool handed_out_ = false;  // the buffer's content was given to the caller: forgotten by the next call
  bool in_text_ = false;     // behind a streamed literal
  bool more_literal_ = false;
  bool takes_literals_ = false;  // the response whose first line ended with what looks like one
  LiteralHead literal_;          // the streamed one
  uint64_t remaining_ = 0;       // octets of the current literal still to come
  size_t line_at_ = 0;           // where in the response the current line begins, behind inlined literals
  size_t earlier_octets_ = 0;    // of the response, given to the caller before
  std::string buffer_;           // of a response or text that came in several pieces
  Response response_;
  std::string_view data_;
  std::string_view text_;
  std::string problem_;
};

}  // namespace imapmux::wire
