// What the scalars of the configuration look like: durations, sizes, numbers, and how they are printed again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace imapmux::config {

// Decimal digits only: no sign, no white space, no other base. Nothing on overflow.
std::optional<uint64_t> parse_integer(std::string_view text);
// "500ms", "30s", "5m", "1h"; "0" needs no unit.
std::optional<base::Millis> parse_duration(std::string_view text);
// In octets: "512B", "64KiB", "1MiB", "4GiB".
std::optional<uint64_t> parse_size(std::string_view text);
// "true" or "false", as YAML 1.2 has it; not "yes", "on", "1".
std::optional<bool> parse_boolean(std::string_view text);

// With the largest unit that divides the value.
std::string format_duration(base::Millis value);
std::string format_size(uint64_t octets);

// The text in double quotes for a message: control characters replaced, long texts cut.
std::string quoted(std::string_view text);

// The candidate that `text` is most likely a misspelling of; nothing if none is near.
std::optional<std::string_view> nearest(std::string_view text,
                                        const std::vector<std::string_view>& candidates);

}  // namespace imapmux::config
