#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>

#include "base/log_escape.h"
#include "base/log_recording.h"
#include "base/log_sink.h"

namespace imapmux::base::log {
namespace {

std::atomic<Format> format{Format::kText};
std::atomic<Level> lowest{Level::kInfo};

// systemd.exec(5), $JOURNAL_STREAM: standard error leads to the journal, which keeps time and level itself.
bool leads_to_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

// sd-daemon(3): "<4>" in front of a line is its level for the journal.
class JournalLevel final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string_view prefix = prefix_of(message.level);
    out.append(prefix.data(), prefix.data() + prefix.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<JournalLevel>(); }

 private:
  static std::string_view prefix_of(spdlog::level::level_enum level) {
    switch (level) {
      case spdlog::level::err:
        return "<3>";
      case spdlog::level::warn:
        return "<4>";
      case spdlog::level::info:
        return "<6>";
      default:
        return "<7>";
    }
  }
};

std::unique_ptr<spdlog::formatter> formatter(Format of) {
  static const bool journal = leads_to_journal();
  auto made = std::make_unique<spdlog::pattern_formatter>();
  made->add_flag<JournalLevel>('J');
  const std::string level = journal ? "%J" : "";
  const std::string text = journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v";
  const std::string json = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})";
  made->set_pattern(level + (of == Format::kJson ? json : text));
  return made;
}

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = spdlog::stderr_logger_mt("imapmux");
    made->set_level(spdlog::level::trace);
    made->set_formatter(formatter(Format::kText));
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void configure(Level level, Format new_format) {
  lowest = level;
  format = new_format;
  logger().set_formatter(formatter(new_format));
}

bool enabled(Level level) {
  return level >= lowest.load(std::memory_order_relaxed);
}

Format current_format() {
  return format.load(std::memory_order_relaxed);
}

std::string_view name_of(Level level) {
  const auto name = spdlog::level::to_string_view(to_spdlog(level));
  return {name.data(), name.size()};
}

void put(Level level, std::string_view payload) {
  logger().log(to_spdlog(level), spdlog::string_view_t(payload.data(), payload.size()));
}

void write(Level level, std::string_view text) {
  note(name_of(level), text);
  std::string payload;
  if (current_format() == Format::kJson) {
    payload = "\"message\":";
    append_json(payload, text);
  } else {
    append_printable(payload, text);
  }
  put(level, payload);
}

}  // namespace imapmux::base::log
