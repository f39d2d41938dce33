// A checked view of a YAML tree: every value knows its name and place, and whatever is wrong is reported to
// Problems, after which the caller gets nothing and goes on with the next value.
#pragma once

#include <yaml-cpp/yaml.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "config/problems.h"

namespace imapmux::config {

// The file that is being read.
struct Source {
  std::string file;
  std::string directory;  // relative paths begin here
  Problems& problems;
};

class Value {
 public:
  // `path` is the value's name in messages ("backends.legacy.servers"); `named_at` the place of that name.
  Value(const YAML::Node& node, std::string path, Place named_at, const Source& source);
  // One that does not stand in the file (a default): its place is that of the name.
  static Value generated(std::string_view yaml, std::string path, Place named_at, const Source& source);

  const std::string& path() const { return path_; }
  // That of the name if there is no value: yaml-cpp gives an empty value the place of whatever comes next.
  const Place& place() const { return place_; }
  const Source& source() const { return *source_; }
  const YAML::Node& node() const { return node_; }

  // Reports at the value, at its name, or with the name of something that should be below it.
  void error(std::string_view message) const;
  void error_at_name(std::string_view message) const;
  void warning(std::string_view message) const;
  void missing(std::string_view key) const;
  std::string path_of(std::string_view key) const;

  bool is_scalar() const { return node_.IsScalar(); }
  // The scalar with its environment variables, never empty. `expected` says what should stand there: "a
  // duration".
  std::optional<std::string> text(std::string_view expected = "text") const;
  std::optional<base::Secret> secret() const;
  std::optional<uint64_t> integer(uint64_t min, uint64_t max) const;
  std::optional<uint64_t> size(uint64_t min, uint64_t max) const;
  std::optional<base::Millis> duration(base::Millis min, base::Millis max) const;
  std::optional<bool> boolean() const;
  // The absolute path of a file that can be read.
  std::optional<std::string> readable_file() const;
  // Nothing if this is no list.
  std::optional<std::vector<Value>> items() const;
  // "text", "a list", "a map", or that there is nothing.
  std::string_view kind() const;

 private:
  std::optional<std::string> raw_text(std::string_view expected) const;

  YAML::Node node_;
  std::string path_;
  Place named_at_;
  Place place_;
  const Source* source_;
};

class Map {
 public:
  struct Entry {
    std::string key;
    Value value;
  };

  // Reports and leaves out duplicate keys, merge keys, and keys that are not text. Nothing if this is no map.
  static std::optional<Map> open(const Value& value);

  const Value& whole() const { return whole_; }
  const std::vector<Entry>& entries() const { return entries_; }
  // Null if the key is not there.
  const Value* find(std::string_view key) const;
  // The key's value, or the map itself: where to report what concerns a key that may have been left out.
  const Value& near(std::string_view key) const;
  // Reports every key that is not one of `known`.
  void refuse_unknown(const std::vector<std::string_view>& known) const;

 private:
  explicit Map(Value whole) : whole_(std::move(whole)) {}

  Value whole_;
  std::vector<Entry> entries_;
};

}  // namespace imapmux::config
