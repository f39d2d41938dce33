// Readers for the rows of the key tables: each stores a value of one kind in a member of the section's
// struct.
#pragma once

#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "config/files.h"
#include "config/key_table.h"
#include "config/scalars.h"

namespace imapmux::config {

template <class Member>
struct MemberOf;
template <class OwnerType, class Type>
struct MemberOf<Type OwnerType::*> {
  using Owner = OwnerType;
};
template <auto kMember>
using Owner = typename MemberOf<decltype(kMember)>::Owner;

template <class Enum>
struct Choice {
  std::string_view name;
  Enum value;
};

inline constexpr int64_t kLongestMillis = 7LL * 24 * 3600 * 1000;

template <auto kMember>
void read_text(const Value& value, Owner<kMember>& target) {
  if (auto text = value.text()) target.*kMember = std::move(*text);
}

template <auto kMember>
void read_boolean(const Value& value, Owner<kMember>& target) {
  if (const auto boolean = value.boolean()) target.*kMember = *boolean;
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
void read_integer(const Value& value, Owner<kMember>& target) {
  if (const auto number = value.integer(kMin, kMax)) target.*kMember = static_cast<uint32_t>(*number);
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
void read_size(const Value& value, Owner<kMember>& target) {
  if (const auto octets = value.size(kMin, kMax)) target.*kMember = *octets;
}

template <auto kMember, int64_t kMinMillis = 1, int64_t kMaxMillis = kLongestMillis>
void read_duration(const Value& value, Owner<kMember>& target) {
  const auto duration = value.duration(base::Millis(kMinMillis), base::Millis(kMaxMillis));
  if (duration) target.*kMember = *duration;
}

template <auto kMember>
void read_file_path(const Value& value, Owner<kMember>& target) {
  if (auto path = value.readable_file()) target.*kMember = std::move(*path);
}

// One of a few names; `choices` may hold several names of one value.
template <class Enum, size_t kCount>
std::optional<Enum> choose(const Value& value, const std::array<Choice<Enum>, kCount>& choices) {
  std::string names;
  std::vector<std::string_view> candidates;
  for (const Choice<Enum>& choice : choices) {
    names += (names.empty() ? "" : ", ") + std::string(choice.name);
    candidates.push_back(choice.name);
  }
  const auto text = value.text("one of " + names);
  if (!text) return std::nullopt;
  for (const Choice<Enum>& choice : choices) {
    if (choice.name == *text) return choice.value;
  }
  const auto suggestion = nearest(*text, candidates);
  const std::string hint = suggestion ? fmt::format("; did you mean {}?", *suggestion) : "";
  value.error(fmt::format("must be one of {}, not {}{}", names, config::quoted(*text), hint));
  return std::nullopt;
}

template <auto kMember, const auto& kChoices>
void read_choice(const Value& value, Owner<kMember>& target) {
  if (const auto choice = choose(value, kChoices)) target.*kMember = *choice;
}

// The first name of a value, for the summary.
template <class Enum, size_t kCount>
std::string_view name_of(Enum value, const std::array<Choice<Enum>, kCount>& choices) {
  for (const Choice<Enum>& choice : choices) {
    if (choice.value == value) return choice.name;
  }
  return "?";
}

template <auto kMember>
void read_secret(const Value& value, Owner<kMember>& target) {
  if (auto secret = value.secret()) target.*kMember = std::move(*secret);
}

// What a file with a secret holds, without one newline at its end; reported and nothing if it can't be read
// or is empty.
std::optional<base::Secret> secret_from_file(const Value& value);

template <auto kMember>
void read_secret_file(const Value& value, Owner<kMember>& target) {
  if (auto secret = secret_from_file(value)) target.*kMember = std::move(*secret);
}

// Reports a secret that is given as KEY and as KEY_file.
void refuse_both(const Map& map, std::string_view key, std::string_view file_key);

// "HOST:PORT" or "unix:/path" to listen on: a numeric address, or none for all addresses ("::").
std::optional<base::Endpoint> read_bind(const Value& value);

// A list of texts through `parse`, which gives nothing for what is not `expected`.
template <class Parse, class Out>
void read_list(const Value& value, std::string_view expected, Parse parse, std::vector<Out>& out) {
  const auto items = value.items();
  if (!items) return;
  out.clear();
  for (const Value& item : *items) {
    const auto text = item.text(expected);
    if (!text) continue;
    auto parsed = parse(*text);
    if (parsed)
      out.push_back(std::move(*parsed));
    else
      item.error(fmt::format("must be {}, not {}", expected, config::quoted(*text)));
  }
}

inline constexpr std::string_view kExpectedNetwork = "a network such as 10.0.0.0/8 or an address";

template <auto kMember>
void read_networks(const Value& value, Owner<kMember>& target) {
  read_list(
      value, kExpectedNetwork, [](const std::string& text) { return base::Network::parse(text); },
      target.*kMember);
}

}  // namespace imapmux::config
