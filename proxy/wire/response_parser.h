// Cuts what a server sends into responses (RFC 3501, 7 and 9), and normalises what servers get wrong where that
// changes no meaning: bare LF for CRLF, names in any case, `EXPUNGED` for EXPUNGE (GNU imap4d), trailing spaces.
//
// Resumable at every octet, without I/O. One per backend connection, on its thread. No allocation per line: a
// response that arrives whole in one chunk is a view of the chunk, else of the parser's buffer; both are valid until
// the next call. Literals up to max_inline are part of the response's text; larger ones are streamed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "wire/token_reader.h"

namespace imapmux::wire {

struct ResponseLimits {
  size_t max_line = 16 * 1024 * 1024;  // one response without streamed literals: a SEARCH of a huge mailbox is one line
  size_t max_inline = 4 * 1024;        // a literal up to this size stays in the text
};

enum class ResponseName : uint8_t {
  kOther,
  kOk, kNo, kBad, kBye, kPreauth,  // with code and text
  kCapability, kFlags, kList, kLsub, kStatus, kSearch, kEsearch, kSort, kThread, kNamespace, kEnabled, kId,
  kExists, kRecent, kExpunge, kFetch, kVanished,
};

// A view: valid until the parser is called again.
struct Response {
  enum class Kind : uint8_t { kUntagged, kTagged, kContinuation };
  Kind kind = Kind::kUntagged;
  ResponseName name = ResponseName::kOther;
  bool has_number = false;     // "* 23 EXISTS"
  uint32_t number = 0;
  std::string_view tag;        // tagged only
  std::string_view line;       // the whole response without its line end, literals in place
  std::string_view arguments;  // behind the name (and its SP): a list, flags, the FETCH attributes; for the status
                               // names: behind the code, i.e. the human text; for a continuation: behind "+ "
  std::string_view code;       // of [CODE args], upper or lower case as sent; empty if none
  std::string_view code_arguments;
  bool literal_follows = false;  // a streamed literal comes next: `line` ends before its "{"
};

class ResponseParser {
 public:
  enum class Event {
    kNeedMore,
    kResponse,      // response(): complete, or with literal_follows the part before the first streamed literal
    kLiteralData,   // data(): a piece of the streamed literal
    kText,          // text(): response text behind a streamed literal; more_literal() if another follows it, else the
                    // response is complete
    kMalformed,     // problem(); nothing more is parsed: a server that cannot be understood cannot be served
  };

  explicit ResponseParser(ResponseLimits limits = {}) : limits_(limits) {}

  // Consumes from the front of `input` up to the next event.
  Event next(std::string_view& input);

  const Response& response() const;
  uint64_t literal_size() const;      // of the streamed literal announced by kResponse or kText
  bool literal8() const;              // it was announced as ~{n}
  std::string_view data() const;
  std::string_view text() const;
  bool more_literal() const;
  const std::string& problem() const;
  // Nothing of a response has been read yet.
  bool idle() const;

 private:
  ResponseLimits limits_;
  // the rest as the implementation needs it
};

}  // namespace imapmux::wire
