#include "config/problems.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

namespace imapmux::config {

namespace {

Problem at(const Place& place, std::string message) {
  return {.file = place.file, .line = place.line, .column = place.column, .message = std::move(message)};
}

std::vector<Problem> sorted(std::vector<Problem> problems, const std::string& main_file) {
  const auto key = [&](const Problem& problem) {
    return std::make_tuple(problem.file != main_file, std::string_view(problem.file), problem.line,
                           problem.column, std::string_view(problem.message));
  };
  std::sort(problems.begin(), problems.end(),
            [&](const Problem& a, const Problem& b) { return key(a) < key(b); });
  return problems;
}

}  // namespace

std::string Problem::to_string() const {
  return file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + message;
}

void Problems::error(const Place& place, std::string message) {
  errors_.push_back(at(place, std::move(message)));
}

void Problems::warning(const Place& place, std::string message) {
  warnings_.push_back(at(place, std::move(message)));
}

std::vector<Problem> Problems::take_errors(const std::string& main_file) {
  return sorted(std::exchange(errors_, {}), main_file);
}

std::vector<Problem> Problems::take_warnings(const std::string& main_file) {
  return sorted(std::exchange(warnings_, {}), main_file);
}

}  // namespace imapmux::config
