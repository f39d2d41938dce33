// Every file below tests/config: the valid ones load and print the summary beside them, the invalid ones give
// exactly the problems beside them. With IMAPMUX_UPDATE_EXPECTED set, what is expected is written instead
// (then read it!).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/config_loader.h"

namespace imapmux::config {
namespace {

namespace fs = std::filesystem;

const fs::path kCorpus = fs::path(IMAPMUX_SOURCE_DIR) / "tests" / "config";

std::string contents_of(const fs::path& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Without the directory, which differs from machine to machine, and without what depends on the machine's
// limits.
std::string lines_of(const std::vector<Problem>& problems, const std::string& prefix,
                     const fs::path& directory) {
  std::string out;
  for (Problem problem : problems) {
    if (problem.message.find("RLIMIT_NOFILE") != std::string::npos) continue;
    problem.file = fs::path(problem.file).lexically_relative(directory).string();
    out += prefix + problem.to_string() + "\n";
  }
  return out;
}

void compare(const fs::path& file, const std::string& actual) {
  fs::path expected = file;
  expected.replace_extension(".expected");
  if (std::getenv("IMAPMUX_UPDATE_EXPECTED") != nullptr) std::ofstream(expected) << actual;
  ASSERT_TRUE(fs::exists(expected)) << expected;
  EXPECT_EQ(contents_of(expected), actual) << file;
}

TEST(Corpus, InvalidFilesGiveTheirProblems) {
  const fs::path directory = kCorpus / "invalid";
  const auto files = files_in(directory);
  EXPECT_GE(files.size(), 40U);
  for (const fs::path& file : files) {
    const LoadResult result = load_file(file.string());
    EXPECT_EQ(nullptr, result.config) << file;
    EXPECT_FALSE(result.problems.empty()) << file;
    compare(file, lines_of(result.problems, "", directory));
  }
}

TEST(Corpus, ValidFilesLoad) {
  const fs::path directory = kCorpus / "valid";
  for (const fs::path& file : files_in(directory)) {
    const LoadResult result = load_file(file.string());
    EXPECT_EQ("", lines_of(result.problems, "", directory)) << file;
    ASSERT_NE(nullptr, result.config) << file;
    std::string text = summary(*result.config);
    for (size_t at = 0; (at = text.find(kCorpus.string())) != std::string::npos;) {
      text.replace(at, kCorpus.string().size(), "..");
    }
    compare(file, lines_of(result.warnings, "warning: ", directory) + text);
  }
}

TEST(Corpus, EveryProblemHasAPlaceInTheFile) {
  for (const fs::path& file : files_in(kCorpus / "invalid")) {
    for (const Problem& problem : load_file(file.string()).problems) {
      EXPECT_GE(problem.line, 1) << problem.to_string();
      EXPECT_GE(problem.column, 1) << problem.to_string();
      const std::string text = contents_of(problem.file);
      EXPECT_LE(problem.line, std::count(text.begin(), text.end(), '\n') + 1) << problem.to_string();
    }
  }
}

// Whatever is cut off or changed in a valid file: problems, never an exception, a hang or a crash.
TEST(Corpus, DamagedFilesNeverThrow) {
  const std::string whole = contents_of(kCorpus / "valid" / "everything.yaml");
  const std::string directory = (kCorpus / "valid").string();
  for (size_t length = 0; length < whole.size(); length += 11) {
    load_text(whole.substr(0, length), "cut.yaml", directory);
  }
  for (const char damage : std::string("]}[{\"':\t-,#&*!|>\n~")) {
    for (size_t at = 3; at < whole.size(); at += 101) {
      std::string text = whole;
      text[at] = damage;
      const LoadResult result = load_text(text, "damaged.yaml", directory);
      EXPECT_EQ(result.config == nullptr, !result.problems.empty());
    }
  }
}

}  // namespace
}  // namespace imapmux::config
