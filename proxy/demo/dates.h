// Dates of IMAP and of mail headers (RFC 3501, 9: date-time, date; RFC 5322, 3.3). Plain functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imapmux::demo {

// A moment together with the zone it was written in: IMAP's date searches disregard the zone (RFC
// 3501, 6.4.4).
struct ZonedTime {
  int64_t seconds = 0;   // since 1970, UTC
  int zone_minutes = 0;  // east of UTC
  // Days since 1970 by the clock of its own zone.
  int64_t local_day() const;
  friend bool operator==(const ZonedTime&, const ZonedTime&) = default;
};

ZonedTime now();

// "17-Jul-1996 02:44:25 -0700"; the day may begin with a space.
std::optional<ZonedTime> parse_date_time(std::string_view text);
// " 7-Jul-1996 02:44:25 -0700", without quotes.
std::string format_date_time(const ZonedTime& time);
// "1-Feb-1994" of SEARCH, as days since 1970.
std::optional<int64_t> parse_search_date(std::string_view text);
// The Date header of a mail, also in the obsolete forms.
std::optional<ZonedTime> parse_mail_date(std::string_view text);

}  // namespace imapmux::demo
