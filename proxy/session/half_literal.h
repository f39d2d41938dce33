// What is needed to go on in the middle of a literal of a FETCH response on another connection: which message
// and literal it is, how much of it the client has, and a hash of that. A message never changes (RFC 3501,
// 2.3.1.1), so that the same literal of the same message is fetched again, checked as far as the client has
// it, and passed on from there.
//
// Part of a SharedSession, on its thread. Pure. Hashing costs about a tenth of a copy (XXH3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "backend/backend_connection.h"

namespace imapmux::session {

class HalfLiteral {
 public:
  HalfLiteral();
  ~HalfLiteral();

  // The first literal of a response begins, behind `text` of the backend. `uid` 0: not known.
  void begin(uint32_t uid, std::string_view text, const backend::LiteralStart& literal);
  // The next one of the same response.
  void next(std::string_view text, const backend::LiteralStart& literal);
  // Octets of it that the client gets.
  void passed(std::string_view octets);

  uint32_t uid() const { return uid_; }

  // The response comes once more, on another connection: up to here its octets are compared, then passed on.
  enum class Verdict : uint8_t { kGoesOn, kDiffers };
  void replay();
  bool replaying() const { return replaying_; }
  // A literal of it begins.
  Verdict replay_literal(std::string_view text, const backend::LiteralStart& literal);
  // Octets of that literal. `rest` becomes what the client does not have yet. When all that it has was
  // compared, replaying() is over.
  Verdict replay_octets(std::string_view octets, std::string_view& rest);

 private:
  struct Hash;

  void set(std::string_view text, const backend::LiteralStart& literal);

  uint32_t uid_ = 0;
  uint32_t ordinal_ = 0;  // in its response, from 1
  std::string name_;      // what stands before it: BODY[TEXT]
  uint64_t size_ = 0;
  uint64_t passed_ = 0;
  std::unique_ptr<Hash> hash_;  // of what was passed
  bool replaying_ = false;
  uint32_t replayed_literals_ = 0;
  uint64_t replayed_ = 0;
  std::unique_ptr<Hash> replayed_hash_;
};

}  // namespace imapmux::session
