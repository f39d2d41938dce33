// Users files: USER: BACKEND, or USER: {backend: NAME, login_as: NAME}.
#include <array>

#include "base/bytes.h"
#include "config/readers.h"
#include "config/sections.h"
#include "config/yaml_document.h"

namespace imapmux::config {

namespace {

void read_entry_login(const Value& value, UserEntry& entry) {
  auto text = value.text();
  if (!text) return;
  check_login_as(value, *text);
  entry.login_as = std::move(*text);
}

constexpr std::array kEntryKeys = std::to_array<Key<UserEntry>>({
    {"backend", read_text<&UserEntry::backend>, "text", kRequired, Reload::kApplies, ""},
    {"login_as", read_entry_login, "text", kNoDefault, Reload::kApplies, ""},
});

void read_entry(const Value& value, const Config& config, UserEntry& entry) {
  const Value* named = &value;
  std::optional<Map> map;
  if (value.is_scalar()) {
    read_text<&UserEntry::backend>(value, entry);
  } else {
    map = read_keys<UserEntry>(value, kEntryKeys, entry);
    if (!map) return;
    named = &map->near("backend");
  }
  if (!entry.backend.empty() && !config.backends.contains(entry.backend)) {
    named->error(fmt::format("there is no backend {}", quoted(entry.backend)));
  }
  check_has_servers(*named, config, entry.backend);
}

// As the configuration itself is named: relative to the same directory.
std::string name_in_messages(const Value& value, const std::string& absolute) {
  const std::string& written = value.node().Scalar();
  if (written.starts_with('/') || written.find('$') != std::string::npos) return absolute;
  const std::string& main_file = value.source().file;
  return main_file.substr(0, main_file.rfind('/') + 1) + written;
}

}  // namespace

void read_users_file(const Value& value, const Config& config, Route& route) {
  const FileContents contents = read_file(route.users_file);
  if (!contents.error.empty()) {
    return value.error(fmt::format("cannot read {}: {}", quoted(value.node().Scalar()), contents.error));
  }
  const Source& outer = value.source();
  const Source source{name_in_messages(value, route.users_file), outer.directory, outer.problems};
  const auto root = parse_document(contents.text, source.file, outer.problems);
  if (!root) return;
  const Value whole(*root, "", Place{.file = source.file}, source);
  if (root->IsNull()) return whole.warning("holds no users");
  const auto map = Map::open(whole);
  if (!map) return;
  for (const Map::Entry& entry : map->entries()) {
    UserEntry user;
    read_entry(entry.value, config, user);
    const bool inserted = route.users.emplace(base::lower(entry.key), std::move(user)).second;
    if (!inserted) entry.value.error_at_name("given twice; upper and lower case are the same");
  }
}

}  // namespace imapmux::config
