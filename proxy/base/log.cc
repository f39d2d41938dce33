#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>

#include "base/log_recording.h"

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

// How many octets the UTF-8 sequence at the front has; 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  return length;
}

std::string escape(std::string_view text, Format to) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto octet = static_cast<unsigned char>(text.front());
    size_t taken = 1;
    if (octet >= 0x80) {
      taken = utf8_length(text);
      out += taken ? std::string(text.substr(0, taken))
                   : fmt::format("\\x{:02x}", octet).insert(0, to == Format::kJson ? "\\" : "");
      taken = std::max<size_t>(taken, 1);
    } else if (octet < 0x20 || octet == 0x7f) {
      out += to == Format::kJson ? fmt::format("\\u{:04x}", octet) : fmt::format("\\x{:02x}", octet);
    } else {
      if (to == Format::kJson && (octet == '"' || octet == '\\')) out += '\\';
      out += text.front();
    }
    text.remove_prefix(taken);
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
  const auto name = spdlog::level::to_string_view(to_spdlog(level));
  note({name.data(), name.size()}, text);
  logger().log(to_spdlog(level), "{}", escape(text, format.load(std::memory_order_relaxed)));
}

}  // namespace imapmux::base::log
