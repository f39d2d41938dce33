#include "demo/dates.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "base/bytes.h"

namespace imapmux::demo {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<int> number(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

std::optional<unsigned> month(std::string_view text) {
  for (unsigned i = 0; i < kMonths.size(); ++i) {
    if (base::equals_ignore_case(text, kMonths[i])) return i + 1;
  }
  return std::nullopt;
}

std::optional<int64_t> days(std::optional<int> day, std::optional<unsigned> month, std::optional<int> year) {
  if (!day || !month || !year || *year > 9999) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                                   std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

// "+hhmm" as minutes.
std::optional<int> numeric_zone(std::string_view text) {
  if (text.size() != 5 || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  auto hours = number(text.substr(1, 2));
  auto minutes = number(text.substr(3, 2));
  if (!hours || !minutes || *minutes > 59) return std::nullopt;
  int zone = *hours * 60 + *minutes;
  return text[0] == '-' ? -zone : zone;
}

// "hh:mm[:ss]" as seconds.
std::optional<int> clock(std::string_view text) {
  if (text.size() != 5 && text.size() != 8) return std::nullopt;
  if (text[2] != ':' || (text.size() == 8 && text[5] != ':')) return std::nullopt;
  auto hours = number(text.substr(0, 2));
  auto minutes = number(text.substr(3, 2));
  auto seconds = text.size() == 8 ? number(text.substr(6, 2)) : 0;
  if (!hours || !minutes || !seconds || *hours > 23 || *minutes > 59 || *seconds > 60) return std::nullopt;
  return *hours * 3600 + *minutes * 60 + *seconds;
}

int named_zone(std::string_view text) {
  struct Zone {
    std::string_view name;
    int hours;
  };
  static constexpr Zone kZones[] = {{"EST", -5}, {"EDT", -4}, {"CST", -6}, {"CDT", -5},
                                    {"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}};
  for (const Zone& zone : kZones) {
    if (base::equals_ignore_case(text, zone.name)) return zone.hours * 60;
  }
  return 0;
}

// Cuts at white space; comments in parentheses and commas separate as well.
std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> result;
  int depth = 0;
  size_t begin = std::string_view::npos;
  for (size_t i = 0; i <= text.size(); ++i) {
    char c = i < text.size() ? text[i] : ' ';
    if (c == '(') ++depth;
    bool part = depth == 0 && c != ' ' && c != '\t' && c != ',' && c != '\r' && c != '\n';
    if (part && begin == std::string_view::npos) begin = i;
    if (!part && begin != std::string_view::npos) {
      result.push_back(text.substr(begin, i - begin));
      begin = std::string_view::npos;
    }
    if (c == ')' && depth > 0) --depth;
  }
  return result;
}

}  // namespace

int64_t ZonedTime::local_day() const {
  int64_t local = seconds + int64_t{zone_minutes} * 60;
  return local >= 0 ? local / 86400 : -((-local + 86399) / 86400);
}

ZonedTime now() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::seconds>(since).count(), 0};
}

std::optional<ZonedTime> parse_date_time(std::string_view text) {
  if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  auto day = parse_search_date(text.substr(0, space));
  text.remove_prefix(space + 1);
  if (text.size() != 14 || text[8] != ' ') return std::nullopt;
  auto seconds = clock(text.substr(0, 8));
  auto zone = numeric_zone(text.substr(9));
  if (!day || !seconds || !zone) return std::nullopt;
  return ZonedTime{*day * 86400 + *seconds - *zone * 60, *zone};
}

std::string format_date_time(const ZonedTime& time) {
  int64_t day = time.local_day();
  int64_t second = time.seconds + int64_t{time.zone_minutes} * 60 - day * 86400;
  std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  int zone = std::abs(time.zone_minutes);
  return fmt::format("{:2}-{}-{:04} {:02}:{:02}:{:02} {}{:02}{:02}", static_cast<unsigned>(date.day()),
                     kMonths[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                     second / 3600, second / 60 % 60, second % 60, time.zone_minutes < 0 ? '-' : '+',
                     zone / 60, zone % 60);
}

std::optional<int64_t> parse_search_date(std::string_view text) {
  size_t first = text.find('-');
  size_t second = text.find('-', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || text.size() - second != 5 || first == 0 || first > 2)
    return std::nullopt;
  return days(number(text.substr(0, first)), month(text.substr(first + 1, second - first - 1)),
              number(text.substr(second + 1)));
}

std::optional<ZonedTime> parse_mail_date(std::string_view text) {
  auto parts = words(text);
  size_t at = 0;
  if (!parts.empty() && !number(parts[0])) ++at;  // day of the week
  if (parts.size() < at + 3) return std::nullopt;
  auto year = number(parts[at + 2]);
  if (year && parts[at + 2].size() < 4) *year += *year < 50 ? 2000 : 1900;  // RFC 5322, 4.3
  auto day = days(number(parts[at]), month(parts[at + 1]), year);
  if (!day) return std::nullopt;
  int seconds = 0;
  if (parts.size() > at + 3) seconds = clock(parts[at + 3]).value_or(0);
  int zone = 0;
  if (parts.size() > at + 4) zone = numeric_zone(parts[at + 4]).value_or(named_zone(parts[at + 4]));
  return ZonedTime{*day * 86400 + seconds - zone * 60, zone};
}

}  // namespace imapmux::demo
