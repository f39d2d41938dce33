#include "demo/quirks_option.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace imapmux::demo {

namespace {

constexpr unsigned kMostConnections = 1'000'000;
constexpr unsigned kMostLatency = 60'000;  // milliseconds

struct Word {
  std::string_view name;
  std::optional<std::string_view> value;  // behind "="
};

using Problem = std::string;  // empty: none

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Word split(std::string_view text) {
  const size_t at = text.find('=');
  if (at == std::string_view::npos) return {text, std::nullopt};
  return {trim(text.substr(0, at)), trim(text.substr(at + 1))};
}

template <class T>
using Choices = std::initializer_list<std::pair<std::string_view, T>>;

template <class T>
Problem read_choice(const Word& word, Choices<T> choices, T& result) {
  std::string known;
  for (const auto& [name, value] : choices) {
    if (word.value == name) {
      result = value;
      return {};
    }
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  if (!word.value) return fmt::format("\"{}\" needs a value, one of {}", word.name, known);
  return fmt::format("{}=\"{}\": not one of {}", word.name, *word.value, known);
}

Problem read_number(const Word& word, unsigned most, unsigned& result) {
  const std::string_view text = word.value.value_or("");
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty()) return fmt::format("\"{}\" needs a value, a number from 0 to {}", word.name, most);
  if (error != std::errc() || end != text.data() + text.size() || value > most)
    return fmt::format("{}=\"{}\": not a number from 0 to {}", word.name, text, most);
  result = value;
  return {};
}

constexpr std::array<std::pair<std::string_view, bool Quirks::*>, 7> kSwitches = {{
    {"no_unselect", &Quirks::has_unselect},
    {"no_idle", &Quirks::has_idle},
    {"no_literal_plus", &Quirks::has_literal_plus},
    {"no_uidplus", &Quirks::has_uidplus},
    {"no_move", &Quirks::has_move},
    {"no_namespace", &Quirks::has_namespace},
    {"idle_silent", &Quirks::idle_pushes},
}};

Problem read_word(const Word& word, Quirks& quirks) {
  if (word.name == "second_session")
    return read_choice<SecondSession>(word,
                                      {{"refused", SecondSession::kRefused},
                                       {"severs", SecondSession::kSeversFirst},
                                       {"read_only", SecondSession::kReadOnly},
                                       {"allowed", SecondSession::kAllowed}},
                                      quirks.second_session);
  if (word.name == "status")
    return read_choice<StatusOfSelected>(word,
                                         {{"kills", StatusOfSelected::kKillsSession},
                                          {"stale", StatusOfSelected::kStaleNumbers},
                                          {"fine", StatusOfSelected::kFine}},
                                         quirks.status_of_selected);
  if (word.name == "max_user") return read_number(word, kMostConnections, quirks.max_connections_per_user);
  if (word.name == "max_address")
    return read_number(word, kMostConnections, quirks.max_connections_per_address);
  if (word.name == "latency_ms") {
    unsigned latency = 0;
    Problem problem = read_number(word, kMostLatency, latency);
    quirks.latency = std::chrono::milliseconds(latency);
    return problem;
  }
  for (const auto& [name, flag] : kSwitches) {
    if (word.name != name) continue;
    if (word.value) return fmt::format("\"{}\" takes no value", name);
    quirks.*flag = false;
    return {};
  }
  if (word.name.empty()) return fmt::format("a word is missing; known are {}", kQuirksHelp);
  return fmt::format("\"{}\" is no known quirk; known are {}", word.name, kQuirksHelp);
}

// The octets of the character at the front; 0 if they are not UTF-8 (RFC 3629, 4).
size_t utf8_length(std::string_view text) {
  const auto octet = [text](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = octet(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length == 0 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if (octet(i) < 0x80 || octet(i) > 0xbf) return 0;
  if ((lead == 0xe0 && octet(1) < 0xa0) || (lead == 0xed && octet(1) > 0x9f) ||
      (lead == 0xf0 && octet(1) < 0x90) || (lead == 0xf4 && octet(1) > 0x8f))
    return 0;
  return length;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (length == 1 && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + "\"";
}

}  // namespace

Quirks parse_quirks(std::string_view text, std::string& problem) {
  Quirks quirks;
  problem.clear();
  if (trim(text).empty()) return quirks;
  for (;;) {
    const size_t end = text.find(',');
    problem = read_word(split(trim(text.substr(0, end))), quirks);
    if (!problem.empty() || end == std::string_view::npos) return quirks;
    text.remove_prefix(end + 1);
  }
}

std::string violations_json(const Violations& violations) {
  std::string out = fmt::format("{{\"violations\":{{\"total\":{}", violations.total());
  const auto add = [&out](std::string_view name, uint64_t count) {
    out += fmt::format(",\"{}\":{}", name, count);
  };
  add("second_select", violations.second_select);
  add("second_examine", violations.second_examine);
  add("status_of_selected_by_other", violations.status_of_selected_by_other);
  add("status_of_own", violations.status_of_own);
  add("append_or_copy_to_selected_by_other", violations.append_or_copy_to_selected_by_other);
  add("delete_or_rename_of_selected", violations.delete_or_rename_of_selected);
  add("over_user_limit", violations.over_user_limit);
  add("over_address_limit", violations.over_address_limit);
  out += "},\"texts\":[";
  bool first = true;
  for (const std::string& text : violations.texts()) {
    if (!first) out += ",";
    first = false;
    out += quoted(text);
  }
  return out + "]}";
}

}  // namespace imapmux::demo
