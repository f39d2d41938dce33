// What the operator reads: events with named values, one line each. As text
//   2026-03-01T12:00:00.000+00:00 info  login session=1f client=192.0.2.7:50123 user=bob took=0.012s
// and as JSON
//   {"time":"…","level":"info","message":"login","session":"1f","client":"192.0.2.7:50123","user":"bob","took":0.012}
// so that a line is found by its message, and its values by their names. No value can forge another one, a
// line, or a terminal's control sequence.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/log.h"
#include "base/time.h"

namespace imapmux::base::log {

// A named value of a line. Refers to what it is made of: for use within one statement.
struct Field {
  using Value = std::variant<std::string_view, uint64_t, bool, Millis>;
  std::string_view name;
  Value value;  // text that is empty is left out; durations are seconds
};

// So many at a time, then so many per second: what strangers can cause as often as they like must not fill
// the disk, nor hide everything else. Any thread.
class FloodGate {
 public:
  static constexpr int kBurst = 100;
  static constexpr Millis kInterval{100};
  bool admit(Instant now);

 private:
  std::atomic<int64_t> next_{0};  // when the last admitted one would be due at an even pace, in milliseconds
};

// One kind of event. Lives as long as the program; any thread.
class Event {
 public:
  enum class Volume : uint8_t {
    kAll,
    kLimited,  // through a FloodGate; the next line tells how many were left out
  };
  constexpr Event(Level level, std::string_view message, Volume volume = Volume::kAll)
      : level_(level), message_(message), volume_(volume) {}

  // `about`: what all events of one origin have in common. Costs nothing while the level is off.
  void write(std::span<const Field> about, std::initializer_list<Field> fields);
  void write(std::initializer_list<Field> fields) { write({}, fields); }
  bool enabled() const { return log::enabled(level_); }

 private:
  std::string line(Format format, std::span<const Field> about, std::initializer_list<Field> fields,
                   uint64_t missing) const;

  Level level_;
  std::string_view message_;
  Volume volume_;
  FloodGate gate_;
  std::atomic<uint64_t> left_out_{0};
};

}  // namespace imapmux::base::log
