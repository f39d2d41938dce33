// What went over the wire, line by line and session by session, in the order it went: the evidence for what a
// probe says. Passwords never get in.
//
// One Transcript per probe; each Session has a Tap, which its stream feeds. All on the probe's loop.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace imapmux::probe {

enum class Direction : uint8_t { kSent, kReceived, kNote /* ours, about what is not shown */ };

struct WireLine {
  std::string session;
  Direction direction = Direction::kSent;
  std::string text;  // without its line end
};
using Evidence = std::vector<WireLine>;

class Transcript {
 public:
  void add(WireLine line) { lines_.push_back(std::move(line)); }
  size_t mark() const { return lines_.size(); }
  Evidence since(size_t mark) const;

 private:
  Evidence lines_;
};

// Cuts what one session sends and receives into lines.
class Tap {
 public:
  Tap(Transcript& transcript, std::string session) : transcript_(transcript), session_(std::move(session)) {}

  void sent(std::string_view octets);
  void received(std::string_view octets);
  void note(std::string text);
  // Until show(): nothing that is sent is written down, and the secret is taken out of what is received, for
  // some servers repeat what they did not understand. `secret` must live until then.
  void hide(const base::Secret& secret) { secret_ = &secret; }
  void show() { secret_ = nullptr; }

 private:
  void cut(std::string& line, std::string_view octets, Direction direction);

  Transcript& transcript_;
  const std::string session_;
  const base::Secret* secret_ = nullptr;
  std::string sent_;  // lines that have not ended yet
  std::string received_;
};

// `text` with *** for the secret, and for its base64 form.
std::string without(const base::Secret& secret, std::string text);

}  // namespace imapmux::probe
