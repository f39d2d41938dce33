// A section of the configuration as one table: what a key is called, how it is read, what it is without being
// written, whether a reload applies it, and what it is for. Reading, the refusal of unknown keys and the
// reference use the table.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml_reader.h"

namespace imapmux::config {

enum class Reload : uint8_t { kApplies, kNeedsRestart };

// In place of a default.
inline constexpr std::string_view kRequired = "(required)";
inline constexpr std::string_view kNoDefault = "";

template <class Target>
struct Key {
  std::string_view name;
  void (*read)(const Value&, Target&);  // null: not supported in this version
  std::string_view type;
  std::string_view standard;  // YAML that is read when the key is left out; prose in parentheses is not read
  Reload reload;
  std::string_view about;
};

// A key as the reference shows it.
struct KeyInfo {
  std::string path;  // "backends.NAME.tls", "listeners[].bind"
  std::string_view type;
  std::string_view standard;
  Reload reload;
  bool supported;
  std::string_view about;
};

// Every key of every section, in the order of the tables.
std::vector<KeyInfo> all_keys();

template <class Target>
void append_keys(std::span<const Key<Target>> table, std::string_view prefix, std::vector<KeyInfo>& out) {
  for (const Key<Target>& key : table) {
    out.push_back({std::string(prefix) + std::string(key.name), key.type, key.standard, key.reload,
                   key.read != nullptr, key.about});
  }
}

template <class Target>
void read_key(const Map& map, const Key<Target>& key, Target& target) {
  const Value& whole = map.whole();
  if (const Value* value = map.find(key.name)) {
    if (key.read != nullptr) return key.read(*value, target);
    return value->error_at_name("not supported in this version");
  }
  if (key.standard == kRequired) return whole.missing(key.name);
  if (key.read == nullptr || key.standard.empty() || key.standard.starts_with('(')) return;
  key.read(Value::generated(key.standard, whole.path_of(key.name), whole.place(), whole.source()), target);
}

// Reads a map by its table, in the table's order, so that a reader may use what stands above it. Gives the
// map back for checks that concern several keys; nothing if the value is no map.
template <class Target>
std::optional<Map> read_keys(const Value& value, std::span<const Key<Target>> table, Target& target) {
  auto map = Map::open(value);
  if (!map) return std::nullopt;
  std::vector<std::string_view> names;
  for (const Key<Target>& key : table) names.push_back(key.name);
  map->refuse_unknown(names);
  for (const Key<Target>& key : table) read_key(*map, key, target);
  return map;
}

}  // namespace imapmux::config
