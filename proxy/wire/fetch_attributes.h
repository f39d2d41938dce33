// Rewrites the attributes of FETCH responses for one client (RFC 3501, 7.4.2): takes out what it did not ask
// for and gives items the names it asked by, while the backend still sends them.
//
// Owned by whoever passes FETCH responses on to one client; begun anew for each response, and keeps its
// buffers, so that it allocates nothing. Pure: text in, text out, an octet is looked at once and appended
// with its run. It knows the lexical grammar only, so attributes of extensions pass. SP between attributes is
// written as one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace imapmux::wire {

struct FetchWishes {
  bool uid = true;                        // false: the client did not ask for UID: it is taken out
  bool flags = true;                      // false: a FLAGS item is taken out (an echo that is withheld)
  bool body_is_rfc822 = false;            // BODY[] is called RFC822 again
  bool body_text_is_rfc822_text = false;  // BODY[TEXT] is called RFC822.TEXT again
  // Those two were asked for as parts from octet 0 on (see FetchItems): BODY[]<0> and BODY[TEXT]<0> are
  // renamed, and BODY[] and BODY[TEXT] keep their names.
  bool renamed_from_0 = false;
};

class FetchAttributes {
 public:
  // A new response.
  void begin(FetchWishes wishes);
  // The next piece of its text: the first begins with the "(" of the attributes, the last ends with its ")";
  // a piece in between literals ends before the literal's "{" or "~{" and begins behind the literal's octets.
  // Small literals may as well stand in the text. Appends to `out` what the client gets of it. False:
  // malformed (nothing more is to be fed, and what was appended means nothing).
  bool piece(std::string_view text, std::string& out);

  // The last ")" was read. Where it was not and no literal follows, the response is malformed.
  bool complete() const { return place_ == Place::kEnd; }
  uint32_t uid() const { return uid_; }  // 0: none seen so far
  const std::string& flags() const {
    return flags_;
  }  // "(\\Seen foo)" as the backend wrote it; if has_flags()
  bool has_flags() const { return has_flags_; }
  bool has_more() const { return has_more_; }  // than FLAGS and UID: no change of flags that nobody asked for
  uint32_t attributes() const { return attributes_; }  // how many went to the client so far
  // All attributes so far were taken out: "()" would be left.
  bool nothing_left() const { return attributes_ == 0; }

 private:
  // Where the next octet stands. A piece ends in a section, before a value, in a list, or at the end of all.
  enum class Place : uint8_t {
    kBeginning,  // before the "("
    kBetween,    // before a name, or the last ")"
    kName,
    kSection,  // of a name, between its "[" and "]"
    kValue,    // behind a name; a literal that comes here is the whole value
    kList,     // of a value, depth_ lists deep
    kEnd,
    kBroken,
  };

  friend bool read_fetch(std::string_view attributes, uint32_t& uid, std::string& flags, bool& has_flags);

  // `out` is anything that takes += of octets.
  template <class Out>
  bool read(std::string_view text, Out& out);
  template <class Out>
  bool read_attribute(std::string_view text, size_t& at, Out& out);
  template <class Out>
  bool pass_on(std::string_view text, size_t begin, size_t& at, Out& out);
  std::string_view new_name(std::string_view name) const;
  bool skip_name(std::string_view text, size_t& at);
  bool skip_value(std::string_view text, size_t& at);
  bool skip_list(std::string_view text, size_t& at);
  bool read_uid(std::string_view text, size_t& at);
  bool read_flags(std::string_view text, size_t& at);

  FetchWishes wishes_;
  Place place_ = Place::kBroken;  // until begin()
  bool has_flags_ = false;
  bool has_more_ = false;
  uint32_t uid_ = 0;
  uint32_t attributes_ = 0;
  size_t depth_ = 0;
  std::string flags_;
};

// For a response that is complete in one text, only to learn from it: uid and flags, without writing
// anything. False: malformed.
bool read_fetch(std::string_view attributes, uint32_t& uid, std::string& flags, bool& has_flags);

}  // namespace imapmux::wire
