// LIST and LSUB patterns (RFC 3501, 6.3.8). A plain function.
#pragma once

#include <string_view>

namespace imapmux::demo {

constexpr char kDelimiter = '/';

// "*" matches anything, "%" anything but the delimiter; INBOX matches in any case.
bool matches_pattern(std::string_view name, std::string_view pattern);

}  // namespace imapmux::demo
