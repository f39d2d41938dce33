// What is written for people agrees with the program: config/reference.md is what the tables say
// (IMAPMUX_UPDATE_EXPECTED writes it), and the default and the examples load.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/config_loader.h"
#include "config/key_table.h"

namespace imapmux::config {
namespace {

namespace fs = std::filesystem;

const fs::path kDirectory = fs::path(IMAPMUX_SOURCE_DIR) / "config";

constexpr std::string_view kIntroduction =
    R"(# Configuration reference

Every key of `imapmux.yaml`. This file is made from the tables that the program reads with; a test compares them.

- Durations: `500ms`, `30s`, `5m`, `1h`. Sizes: `512B`, `64KiB`, `1MiB`, `4GiB`.
- `${NAME}` and `${NAME:-default}` in values take environment variables; `$$` is `$`.
- Relative paths begin at the directory of the configuration.
- *Reload*: **yes** means that SIGHUP applies the key, to new connections where it concerns connections; **restart**
  that the program must be started anew.
- Keys marked *not supported in this version* are refused by name.
)";

std::string section_of(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// "|" would end the cell.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string standard_cell(std::string_view standard) {
  if (standard.empty()) return "none";
  if (standard.starts_with('(')) return cell(standard.substr(1, standard.size() - 2));
  return "`" + cell(standard) + "`";
}

std::string reference() {
  std::string out(kIntroduction);
  std::string section = "?";
  for (const KeyInfo& key : all_keys()) {
    if (section_of(key.path) != section) {
      section = section_of(key.path);
      out += "\n## " + (section.empty() ? "Top level" : "`" + section + "`") + "\n\n";
      out += "| Key | Value | Default | Reload | Meaning |\n|---|---|---|---|---|\n";
    }
    const std::string name = section.empty() ? key.path : key.path.substr(section.size() + 1);
    const std::string mark = key.supported ? "" : " *Not supported in this version.*";
    out += "| `" + name + "` | " + cell(key.type) + " | " + standard_cell(key.standard) + " | " +
           (key.reload == Reload::kApplies ? "yes" : "restart") + " | " + cell(key.about) + mark + " |\n";
  }
  return out;
}

TEST(Reference, IsWhatTheTablesSay) {
  const fs::path path = kDirectory / "reference.md";
  if (std::getenv("IMAPMUX_UPDATE_EXPECTED") != nullptr) std::ofstream(path) << reference();
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  EXPECT_EQ(reference(), text.str());
}

TEST(Examples, Load) {
  for (const std::string name :
       {"imapmux.yaml", "examples/unrestricted-dovecot.yaml", "examples/exclusive-courier.yaml",
        "examples/users-file.yaml", "examples/demo.yaml"}) {
    const LoadResult result = load_file((kDirectory / name).string());
    for (const Problem& problem : result.problems) ADD_FAILURE() << problem.to_string();
    EXPECT_NE(nullptr, result.config) << name;
  }
}

// A key that the commented default shows, also as a comment, is one that the program knows.
TEST(Examples, TheDefaultNamesEverySupportedKey) {
  std::ifstream stream(kDirectory / "imapmux.yaml");
  std::ostringstream text;
  text << stream.rdbuf();
  for (const KeyInfo& key : all_keys()) {
    const std::string name = key.path.substr(key.path.rfind('.') + 1) + ":";
    if (key.supported) EXPECT_NE(std::string::npos, text.str().find(name)) << key.path;
  }
}

}  // namespace
}  // namespace imapmux::config
