// What a client's FETCH asks for, and how a backend is asked for it (RFC 3501, 6.4.5; RFC 3516 for BINARY).
// Plain functions on a complete text; what is not understood down to its last octet is not passed on.
//
// RFC822 and RFC822.TEXT have no form that leaves \Seen alone, so an EXAMINE view asks for BODY.PEEK[] and
// BODY.PEEK[TEXT] instead, and FetchAttributes names the answers back. If the command asks for BODY[] or
// BODY[TEXT], too, the two answers could not be told apart, and servers differ in whether they send the same
// item twice. Then the renamed ones are asked for as parts, BODY.PEEK[]<0.2147483647>: the same octets (up to
// 2 GiB) under a name of its own, BODY[]<0>. If even that name is asked for by the client itself, the command
// is refused; nobody sends such.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imapmux::wire {

// What a command may do to \Seen.
enum class Seen : uint8_t {
  kAsAsked,
  kNever,  // a view opened by EXAMINE: all that would set it is asked for in its PEEK form
};

struct FetchItems {
  std::string items;          // behind the set: a list in parentheses, e.g. "(BODY.PEEK[] FLAGS)"
  bool uid = false;           // the client asked for UID (the caller also sets it for UID FETCH)
  bool flags = false;         // the client asked for FLAGS
  bool only_flags = false;    // for nothing but FLAGS and UID
  bool sets_seen = false;     // as sent, it sets \Seen; FLAGS has been added to `items` if it was not there
  bool renames_body = false;  // RFC822 was asked for as BODY.PEEK[]: the answer must be named back
  bool renames_body_text = false;  // RFC822.TEXT was asked for as BODY.PEEK[TEXT]
  bool renamed_from_0 = false;     // those two were asked for as parts from octet 0 on
};

// `text`: what stands behind the set and its SP ("ALL", "FLAGS", "(UID BODY[])"), literals in place. ALL,
// FAST and FULL are expanded. Nothing if it is malformed or an item is unknown; so are modifiers
// (CHANGEDSINCE).
std::optional<FetchItems> parse_fetch_items(std::string_view text, Seen seen);

// The same, remembering what was asked for lately: clients ask for the same again and again. One per worker,
// on its thread, in some 20 KB at most.
class FetchItemsMemory {
 public:
  // nullptr if it is malformed. Valid until the next call; what is too long to be remembered is in `own`.
  const FetchItems* parse(std::string_view text, Seen seen, FetchItems& own);

 private:
  struct Known {
    std::string text;  // empty: nothing
    Seen seen = Seen::kAsAsked;
    FetchItems items;
  };
  std::array<Known, 32> known_;  // by a hash of the text
};

}  // namespace imapmux::wire
