// Answers that are lists of message numbers: SEARCH, SORT, THREAD (RFC 3501, 7.2.5; RFC 5256, 4) and ESEARCH
// (RFC 4731, 3.1). Plain functions on a complete text; read in linear time, however deep threads are.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imapmux::wire {

// Appends the numbers of a SEARCH or SORT answer ("2 3 5") to `to`; what follows in parentheses, as (MODSEQ
// 12) of RFC 7162, is passed over. False: malformed, and what was appended means nothing.
bool read_numbers(std::string_view arguments, std::vector<uint32_t>& to);

// THREAD's answer with each number replaced by map(number). 0 takes the message out and closes its place: its
// children become those of its parent, or, where it has none, siblings without one. A thread with nobody left
// goes; the result is empty if all go. Nothing if malformed.
std::optional<std::string> map_threads(std::string_view arguments,
                                       const std::function<uint32_t(uint32_t)>& map);

// What the numbers of an answer are.
enum class Numbering : uint8_t { kUids, kSequenceNumbers };

// The answer to SEARCH RETURN: `ESEARCH (TAG "a1") UID MIN 2 MAX 9 ALL 2,4:9 COUNT 7`. Numbers (none is 0) in
// any order, duplicates count once. Options in upper case, none means ALL; others than these four are passed
// over. MIN, MAX and ALL are left out where nothing was found; COUNT is always given when asked for.
std::string write_esearch(std::string_view tag, std::vector<uint32_t> numbers,
                          const std::vector<std::string>& options, Numbering numbering);

}  // namespace imapmux::wire
