#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

namespace imapmux::base::log {
namespace {

std::atomic<Format> format{Format::kText};
std::atomic<Level> lowest{Level::kInfo};

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = spdlog::stderr_logger_mt("imapmux");
    made->set_level(spdlog::level::trace);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
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

std::string escape(std::string_view text, bool json) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f) {
      out += json ? fmt::format("\\u{:04x}", octet) : fmt::format("\\x{:02x}", octet);
    } else if (json && (c == '"' || c == '\\')) {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

void configure(Level level, Format new_format) {
  lowest = level;
  format = new_format;
  logger().set_pattern(new_format == Format::kJson
                           ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":"%v"})"
                           : "%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
}

bool enabled(Level level) {
  return level >= lowest.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view text) {
  logger().log(to_spdlog(level), "{}", escape(text, format.load(std::memory_order_relaxed) == Format::kJson));
}

}  // namespace imapmux::base::log
