#include "app/generate.h"

#include <fmt/chrono.h>

#include <cstdlib>
#include <ctime>
#include <map>

#include "app/completions.h"
#include "app/man_pages.h"
#include "config/schema.h"

namespace imapmux::app {
namespace {

// https://reproducible-builds.org/specs/source-date-epoch/
std::string date() {
  const char* epoch = std::getenv("SOURCE_DATE_EPOCH");
  const std::time_t time = epoch != nullptr ? std::strtoll(epoch, nullptr, 10) : std::time(nullptr);
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(time));
}

using Maker = std::string (*)(const CommandDocs&);
const std::map<std::string, Maker>& makers() {
  static const std::map<std::string, Maker> all{
      {"man", [](const CommandDocs& program) { return man_page(program, date()); }},
      {"man-config", [](const CommandDocs&) { return config_man_page(date()); }},
      {"bash", bash_completion},
      {"zsh", zsh_completion},
      {"fish", fish_completion},
      {"schema", [](const CommandDocs&) { return config::json_schema(); }},
  };
  return all;
}

}  // namespace

std::vector<std::string> generated_kinds() {
  std::vector<std::string> kinds;
  for (const auto& [kind, make] : makers()) kinds.push_back(kind);
  return kinds;
}

std::string generate(const std::string& kind, const CommandDocs& program) {
  return makers().at(kind)(program);
}

}  // namespace imapmux::app
