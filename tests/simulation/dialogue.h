// Who said what, as far back as it takes to understand a failure. Lines are written down where they enter or
// leave the proxy, so their order is the one in which it saw them.
//
// One per run. Parties are named "user.c3" (a client) and "user.b5" (a connection to the backend), so that a
// client's dialogue can be shown together with that of its user's connections.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "async/scheduler.h"

namespace imapmux::simulation {

class Dialogue {
 public:
  enum class Direction : uint8_t { kToProxy, kFromProxy };

  // `verbose`: every line is printed as it is said.
  Dialogue(const async::Scheduler& clock, bool verbose) : clock_(clock), verbose_(verbose) {}

  void said(const std::string& who, Direction direction, std::string_view octets);
  // Something that is no line: "connection reset".
  void note(const std::string& who, std::string_view what);
  // The last `lines` of a client and of its user's connections to the backend, in the order they were said.
  std::string last(const std::string& who, size_t lines) const;

 private:
  struct Line {
    base::Instant time;
    std::string who;
    char mark;  // '>' to the proxy, '<' from it, '-' a note
    std::string text;
  };
  static constexpr size_t kKept = 6000;
  static constexpr size_t kWidth = 160;

  static std::string show(const Line& line);
  void add(Line line);

  const async::Scheduler& clock_;
  const bool verbose_;
  std::deque<Line> lines_;
  std::map<std::pair<std::string, Direction>, std::string> unfinished_;  // lines without their end
};

}  // namespace imapmux::simulation
