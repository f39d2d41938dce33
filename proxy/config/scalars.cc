#include "config/scalars.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <numeric>

#include "base/bytes.h"

namespace imapmux::config {

namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array kDurationUnits{Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kSizeUnits{Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20}, Unit{"KiB", 1ULL << 10},
                                Unit{"B", 1}};

std::optional<uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, 4>& units) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_integer(text.substr(0, digits));
  const auto* unit = std::find_if(units.begin(), units.end(), [&](const Unit& candidate) {
    return candidate.name == text.substr(digits);
  });
  if (!number || unit == units.end()) return std::nullopt;
  // Room is left so that sums of durations, which are signed, do not overflow either.
  if (*number > (std::numeric_limits<uint64_t>::max() >> 2) / unit->factor) return std::nullopt;
  return *number * unit->factor;
}

std::string format_with_unit(uint64_t value, const std::array<Unit, 4>& units) {
  const auto* unit = std::find_if(units.begin(), units.end(),
                                  [&](const Unit& candidate) { return value % candidate.factor == 0; });
  return std::to_string(value / unit->factor) + std::string(unit->name);
}

// Levenshtein's distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<uint64_t> parse_integer(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<base::Millis> parse_duration(std::string_view text) {
  if (text == "0") return base::Millis(0);
  const auto value = parse_with_unit(text, kDurationUnits);
  if (!value) return std::nullopt;
  return base::Millis(static_cast<int64_t>(*value));
}

std::optional<uint64_t> parse_size(std::string_view text) {
  return parse_with_unit(text, kSizeUnits);
}

std::optional<bool> parse_boolean(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::string format_duration(base::Millis value) {
  if (value.count() <= 0) return "0";
  return format_with_unit(static_cast<uint64_t>(value.count()), kDurationUnits);
}

std::string format_size(uint64_t octets) {
  return octets == 0 ? "0B" : format_with_unit(octets, kSizeUnits);
}

std::string quoted(std::string_view text) {
  constexpr size_t kLongest = 80;
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > kLongest ? "...\"" : "\"");
}

std::optional<std::string_view> nearest(std::string_view text,
                                        const std::vector<std::string_view>& candidates) {
  constexpr size_t kLongest = 64;  // the distance takes quadratic time
  if (text.size() > kLongest) return std::nullopt;
  std::string plain = base::lower(text);
  std::replace(plain.begin(), plain.end(), '-', '_');
  std::optional<std::string_view> best;
  size_t best_distance = std::clamp<size_t>(text.size() / 3, 1, 3) + 1;
  for (const std::string_view candidate : candidates) {
    const size_t distance = edit_distance(plain, base::lower(candidate));
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

}  // namespace imapmux::config
