#include "config/yaml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "config/environment.h"
#include "config/files.h"
#include "config/scalars.h"

namespace imapmux::config {

namespace {

Place place_of(const YAML::Node& node, const std::string& file) {
  const YAML::Mark mark = node.Mark();
  if (mark.is_null()) return {.file = file};
  return {.file = file, .line = mark.line + 1, .column = mark.column + 1};
}

}  // namespace

Value::Value(const YAML::Node& node, std::string path, Place named_at, const Source& source)
    : node_(node),
      path_(std::move(path)),
      named_at_(std::move(named_at)),
      place_(node_.IsNull() ? named_at_ : place_of(node_, source.file)),
      source_(&source) {}

Value Value::generated(std::string_view yaml, std::string path, Place named_at, const Source& source) {
  Value value(YAML::Load(std::string(yaml)), std::move(path), std::move(named_at), source);
  value.place_ = value.named_at_;
  return value;
}

void Value::error(std::string_view message) const {
  source_->problems.error(place_,
                          path_.empty() ? std::string(message) : fmt::format("{}: {}", path_, message));
}

void Value::error_at_name(std::string_view message) const {
  source_->problems.error(named_at_, fmt::format("{}: {}", path_, message));
}

void Value::warning(std::string_view message) const {
  source_->problems.warning(place_,
                            path_.empty() ? std::string(message) : fmt::format("{}: {}", path_, message));
}

void Value::missing(std::string_view key) const {
  source_->problems.error(named_at_, fmt::format("{}: is required", path_of(key)));
}

std::string Value::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string_view Value::kind() const {
  if (node_.IsScalar()) return "text";
  if (node_.IsSequence()) return "a list";
  if (node_.IsMap()) return "a map";
  return "left empty";
}

std::optional<std::string> Value::raw_text(std::string_view expected) const {
  if (!node_.IsScalar()) {
    error(fmt::format("must be {}, not {}", expected, kind()));
    return std::nullopt;
  }
  Expansion expansion = expand_environment(node_.Scalar());
  if (!expansion.error.empty()) {
    error(expansion.error);
    return std::nullopt;
  }
  if (expansion.text.empty()) {
    error(fmt::format("must be {}, not empty", expected));
    return std::nullopt;
  }
  return std::move(expansion.text);
}

std::optional<std::string> Value::text(std::string_view expected) const {
  auto value = raw_text(expected);
  if (!value) return std::nullopt;
  if (!base::has_control(*value)) return value;
  error("must not contain control characters");
  return std::nullopt;
}

std::optional<base::Secret> Value::secret() const {
  auto value = raw_text("text");
  if (!value) return std::nullopt;
  base::Secret secret(std::move(*value));
  base::wipe(*value);
  return secret;
}

std::optional<uint64_t> Value::integer(uint64_t min, uint64_t max) const {
  const auto value = text("a number");
  if (!value) return std::nullopt;
  const auto number = parse_integer(*value);
  if (number && *number >= min && *number <= max) return number;
  error(fmt::format("must be a number from {} to {}, not {}", min, max, quoted(*value)));
  return std::nullopt;
}

std::optional<uint64_t> Value::size(uint64_t min, uint64_t max) const {
  const auto value = text("a size such as 64KiB");
  if (!value) return std::nullopt;
  const auto octets = parse_size(*value);
  if (!octets) {
    error(fmt::format("must be a size such as 64KiB, 1MiB or 4GiB, not {}", quoted(*value)));
    return std::nullopt;
  }
  if (*octets >= min && *octets <= max) return octets;
  error(fmt::format("must be from {} to {}, not {}", format_size(min), format_size(max), *value));
  return std::nullopt;
}

std::optional<base::Millis> Value::duration(base::Millis min, base::Millis max) const {
  const auto value = text("a duration such as 30s");
  if (!value) return std::nullopt;
  const auto duration = parse_duration(*value);
  if (!duration) {
    error(fmt::format("must be a duration such as 500ms, 30s, 5m or 1h, not {}", quoted(*value)));
    return std::nullopt;
  }
  if (*duration >= min && *duration <= max) return duration;
  error(fmt::format("must be from {} to {}, not {}", format_duration(min), format_duration(max), *value));
  return std::nullopt;
}

std::optional<bool> Value::boolean() const {
  const auto value = text("true or false");
  if (!value) return std::nullopt;
  const auto parsed = parse_boolean(*value);
  if (!parsed) error(fmt::format("must be true or false, not {}", quoted(*value)));
  return parsed;
}

std::optional<std::string> Value::readable_file() const {
  const auto value = text("the path of a file");
  if (!value) return std::nullopt;
  std::string path = resolve_path(*value, source_->directory);
  const std::string reason = why_unreadable(path);
  if (reason.empty()) return path;
  error(fmt::format("cannot read {}: {}", quoted(*value), reason));
  return std::nullopt;
}

std::optional<std::vector<Value>> Value::items() const {
  if (!node_.IsSequence()) {
    error(fmt::format("must be a list, not {}", kind()));
    return std::nullopt;
  }
  std::vector<Value> items;
  items.reserve(node_.size());
  for (const YAML::Node& node : node_) {
    items.emplace_back(node, fmt::format("{}#{}", path_, items.size() + 1), place_of(node, source_->file),
                       *source_);
  }
  return items;
}

std::optional<Map> Map::open(const Value& value) {
  if (!value.node().IsMap()) {
    value.error(fmt::format("must be a map, not {}", value.kind()));
    return std::nullopt;
  }
  Map map(value);
  const Source& source = value.source();
  std::unordered_map<std::string, int> first_lines;
  for (const auto& pair : value.node()) {
    const Place key_place = place_of(pair.first, source.file);
    if (!pair.first.IsScalar()) {
      source.problems.error(key_place, "a key must be text");
      continue;
    }
    const std::string& key = pair.first.Scalar();
    Entry entry{key, Value(pair.second, value.path_of(key), key_place, source)};
    // A quoted "<<" is tagged "!"; only the plain one means a merge, which YAML 1.2 dropped.
    if (key == "<<" && pair.first.Tag() != "!") {
      entry.value.error_at_name("merge keys are not supported; write the keys out");
      continue;
    }
    const auto [first, inserted] = first_lines.emplace(key, key_place.line);
    if (!inserted) {
      entry.value.error_at_name(fmt::format("given twice; first on line {}", first->second));
      continue;
    }
    map.entries_.push_back(std::move(entry));
  }
  return map;
}

const Value* Map::find(std::string_view key) const {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& candidate) { return candidate.key == key; });
  return entry == entries_.end() ? nullptr : &entry->value;
}

const Value& Map::near(std::string_view key) const {
  const Value* value = find(key);
  return value != nullptr ? *value : whole_;
}

void Map::refuse_unknown(const std::vector<std::string_view>& known) const {
  for (const Entry& entry : entries_) {
    if (std::find(known.begin(), known.end(), entry.key) != known.end()) continue;
    const auto suggestion = nearest(entry.key, known);
    entry.value.error_at_name(suggestion ? fmt::format("unknown key; did you mean {}?", *suggestion)
                                         : "unknown key");
  }
}

}  // namespace imapmux::config
