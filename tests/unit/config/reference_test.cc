// What is written for people and editors agrees with the program: config/reference.md and the JSON Schema are
// what the tables say (IMAPMUX_UPDATE_EXPECTED writes them), the tables say what the readers do, and the
// default and the examples load.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/config_loader.h"
#include "config/key_table.h"
#include "config/scalars.h"
#include "config/schema.h"

namespace imapmux::config {
namespace {

namespace fs = std::filesystem;

const fs::path kDirectory = fs::path(IMAPMUX_SOURCE_DIR) / "config";

const std::string kBackends = "backends: {legacy: {servers: [\"127.0.0.1:1143\"]}}\n";

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

void expect_in_file(const std::string& made, const fs::path& path) {
  if (std::getenv("IMAPMUX_UPDATE_EXPECTED") != nullptr) std::ofstream(path) << made;
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  EXPECT_EQ(made, text.str());
}

// From here on it is written by hand.
constexpr std::string_view kExplanations = "\n# Explanations\n";

TEST(Reference, IsWhatTheTablesSay) {
  const fs::path path = kDirectory / "reference.md";
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string found = text.str();
  expect_in_file(reference() + found.substr(std::min(found.find(kExplanations), found.size())), path);
}

// tests/config/schema_test.py tries it on files.
TEST(Schema, IsWhatTheTablesSay) {
  expect_in_file(json_schema(), kDirectory / "imapmux.schema.json");
}

// A file in which the key has this value, and what else is needed to read it.
std::string file_with(const std::string& path, const std::string& value) {
  std::string text;
  std::istringstream stream(path);
  std::vector<std::string> steps;
  for (std::string step; std::getline(stream, step, '.');) steps.push_back(step);
  for (size_t i = steps.size(); i-- > 0;) {
    const auto& step = steps[i];
    const bool in_backend = i > 0 && steps[i - 1] == "NAME" && step != "servers";
    if (i + 1 == steps.size())
      text = step + ": " + value;
    else if (step == "NAME")
      text = "legacy: {" + text + "}";
    else if (step.ends_with("[]"))
      text = step.substr(0, step.size() - 2) + ": [{" + text + "}]";
    else
      text = step + ": {" + text + "}";
    if (in_backend) text += ", servers: [\"127.0.0.1:1143\"]";
  }
  return text + (steps.front() == "backends" ? "\n" : "\n" + kBackends);
}

// What the loader says against this value of the key, as a value of its kind; nothing if it takes it.
std::string objection(const std::string& path, const std::string& value) {
  const auto name = path.substr(path.rfind('.') + 1) + ": must be ";
  for (const Problem& problem : load_text(file_with(path, value), "c.yaml", ".").problems)
    if (problem.message.find(name) != std::string::npos) return problem.message;
  return "";
}

// The words and ranges in the tables are those that the readers take: no second list goes its own way.
TEST(Reference, ValuesAreWhatTheReadersTake) {
  int words = 0;
  int ranges = 0;
  for (const KeyInfo& key : all_keys()) {
    if (!key.supported || key.path.ends_with("users_file")) continue;
    const std::string type(key.type);
    const bool is_list = type.starts_with("list");
    if (type.find(", ") != std::string::npos && !is_list) {
      std::istringstream stream(type);
      std::string all;
      for (std::string word; std::getline(stream >> std::ws, word, ',');) {
        if (word == "duration" || word == "map" || word == "URL" || word.find("..") != std::string::npos)
          continue;
        EXPECT_EQ(objection(key.path, word), "") << key.path;
        ++words;
      }
      const auto said = objection(key.path, "nonsense");
      EXPECT_NE(said, "") << key.path;
      if (said.find("one of") != std::string::npos) {
        EXPECT_NE(said.find("one of " + type + ", not"), std::string::npos) << said << " / " << type;
      }
    }
    const auto dots = type.find("..");
    if (dots == std::string::npos) continue;
    ++ranges;
    const auto blank = type.rfind(' ', dots);
    const auto least =
        *parse_integer(type.substr(blank == std::string::npos ? 0 : blank + 1, dots - (blank + 1)));
    const auto most = *parse_integer(type.substr(dots + 2));
    EXPECT_EQ(objection(key.path, std::to_string(least)), "") << key.path;
    EXPECT_EQ(objection(key.path, std::to_string(most)), "") << key.path;
    if (least > 0) EXPECT_NE(objection(key.path, std::to_string(least - 1)), "") << key.path;
    EXPECT_NE(objection(key.path, std::to_string(most + 1)), "") << key.path;
  }
  EXPECT_GT(words, 30);
  EXPECT_GT(ranges, 5);
}

// Every kind of value is what its name in the tables says.
TEST(Reference, KindsAreWhatTheReadersTake) {
  for (const KeyInfo& key : all_keys()) {
    if (!key.supported || key.path.ends_with("users_file")) continue;
    const std::string type(key.type);
    const bool takes_text = type != "map" && !type.starts_with("list") && type != "map, off";
    if (takes_text) {
      EXPECT_NE(objection(key.path, "[x]"), "") << key.path << " is said to be " << type;
    } else {
      EXPECT_NE(objection(key.path, "text"), "") << key.path << " is said to be " << type;
    }
    if (type.starts_with("duration")) {
      EXPECT_EQ(objection(key.path, "10s"), "") << key.path;
      EXPECT_NE(objection(key.path, "30"), "") << key.path;
    }
    if (type == "size") {
      EXPECT_EQ(objection(key.path, "8MiB"), "") << key.path;
      EXPECT_NE(objection(key.path, "8MB"), "") << key.path;
    }
  }
}

TEST(Examples, Load) {
  for (const std::string name :
       {"imapmux.yaml", "examples/unrestricted-dovecot.yaml", "examples/exclusive.yaml",
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
