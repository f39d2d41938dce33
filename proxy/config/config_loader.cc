#include "config/config_loader.h"

#include <exception>
#include <filesystem>

#include "base/bytes.h"
#include "config/files.h"
#include "config/key_table.h"
#include "config/scalars.h"
#include "config/sections.h"
#include "config/yaml_document.h"

namespace imapmux::config {

namespace {

void read(std::string_view text, const Source& source, Config& config) {
  if (text.size() > kMaxFileSize) {
    return source.problems.error({.file = source.file}, "is larger than " + format_size(kMaxFileSize));
  }
  const auto root = parse_document(text, source.file, source.problems);
  if (!root) return;
  const Value whole(*root, "", Place{.file = source.file}, source);
  if (root->IsNull()) return whole.missing("backends");
  read_process(whole, config);
}

LoadResult finish(Problems& problems, const std::string& file, std::shared_ptr<Config> config) {
  LoadResult result;
  if (config) result.tls_items = config->tls_items;
  if (!problems.any()) result.config = std::move(config);
  result.problems = problems.take_errors(file);
  result.warnings = problems.take_warnings(file);
  return result;
}

}  // namespace

LoadResult load_text(std::string_view yaml, const std::string& name, const std::string& directory) {
  Problems problems;
  auto config = std::make_shared<Config>();
  try {
    const Source source{name, directory, problems};
    read(yaml, source, *config);
  } catch (const std::exception& error) {  // nothing known gets here; the caller relies on it
    problems.error({.file = name}, std::string("cannot be read: ") + error.what());
  }
  return finish(problems, name, std::move(config));
}

LoadResult load_file(const std::string& path) {
  FileContents contents = read_file(path);
  if (!contents.error.empty()) {
    Problems problems;
    problems.error({.file = path}, "cannot be read: " + contents.error);
    return finish(problems, path, nullptr);
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  LoadResult result = load_text(contents.text, path, parent.empty() ? "." : parent);
  base::wipe(contents.text);  // it may hold secrets
  return result;
}

std::vector<KeyInfo> all_keys() {
  std::vector<KeyInfo> keys;
  append_process_keys(keys);
  append_listener_keys(keys);
  append_backend_keys(keys);
  append_route_keys(keys);
  append_limit_keys(keys);
  return keys;
}

}  // namespace imapmux::config
