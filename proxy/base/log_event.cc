#include "base/log_event.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "base/log_escape.h"
#include "base/log_recording.h"
#include "base/log_sink.h"

namespace imapmux::base::log {
namespace {

struct ValueWriter {
  std::string& out;
  Format format;
  void operator()(std::string_view text) const {
    if (format == Format::kJson)
      append_json(out, text);
    else
      append_word(out, text);
  }
  void operator()(uint64_t number) const { fmt::format_to(std::back_inserter(out), "{}", number); }
  void operator()(bool is_so) const { out += is_so ? "true" : "false"; }
  void operator()(Millis duration) const {
    const auto millis = std::max<int64_t>(duration.count(), 0);
    fmt::format_to(std::back_inserter(out), "{}.{:03}{}", millis / 1000, millis % 1000,
                   format == Format::kJson ? "" : "s");
  }
};

bool is_empty(const Field& field) {
  const auto* text = std::get_if<std::string_view>(&field.value);
  return text != nullptr && text->empty();
}

void append_field(std::string& out, const Field& field, Format format) {
  if (is_empty(field)) return;
  const bool json = format == Format::kJson;
  fmt::format_to(std::back_inserter(out), fmt::runtime(json ? ",\"{}\":" : " {}="), field.name);
  std::visit(ValueWriter{out, format}, field.value);
}

}  // namespace

bool FloodGate::admit(Instant now) {
  const int64_t at = now.time_since_epoch().count();
  int64_t due = next_.load(std::memory_order_relaxed);
  for (;;) {
    const int64_t begun = std::max(due, at);
    if (begun - at >= kBurst * kInterval.count()) return false;
    if (next_.compare_exchange_weak(due, begun + kInterval.count(), std::memory_order_relaxed)) return true;
  }
}

std::string Event::line(Format format, std::span<const Field> about, std::initializer_list<Field> fields,
                        uint64_t missing) const {
  std::string line;
  if (format == Format::kJson) {
    line = "\"message\":";
    append_json(line, message_);
  } else {
    append_printable(line, message_);
  }
  for (const Field& field : about) append_field(line, field, format);
  for (const Field& field : fields) append_field(line, field, format);
  if (missing > 0) append_field(line, {"left_out", missing}, format);
  return line;
}

void Event::write(std::span<const Field> about, std::initializer_list<Field> fields) {
  if (!enabled()) return;
  if (volume_ == Volume::kLimited &&
      !gate_.admit(std::chrono::time_point_cast<Millis>(std::chrono::steady_clock::now()))) {
    left_out_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const auto missing = left_out_.exchange(0, std::memory_order_relaxed);
  if (is_recorded()) note(name_of(level_), line(Format::kText, about, fields, missing));
  put(level_, line(current_format(), about, fields, missing));
}

}  // namespace imapmux::base::log
