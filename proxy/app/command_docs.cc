#include "app/command_docs.h"

#include <CLI/CLI.hpp>

namespace imapmux::app {
namespace {

// CLI11 keeps choices in the name of the type only: "TEXT:{none,starttls}", or "ENUM:value in {none->0,…} OR
// {…}".
std::vector<std::string> choices_in(const std::string& type) {
  std::vector<std::string> choices;
  const auto open = type.find('{');
  const auto close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return choices;
  std::istringstream list(type.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(list, word, ',');) choices.push_back(word.substr(0, word.find("->")));
  return choices;
}

OptionDocs read_option(const CLI::Option& option) {
  OptionDocs docs;
  for (const auto& name : option.get_snames()) docs.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) docs.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) {
    const auto type = option.get_type_name();
    docs.choices = choices_in(type);
    docs.value = docs.names.empty() ? option.get_name(true) : type.substr(0, type.find(':'));
  }
  docs.about = option.get_description();
  docs.standard = option.get_default_str();
  docs.environment = option.get_envname();
  docs.required = option.get_required();
  return docs;
}

}  // namespace

CommandDocs read_command(const CLI::App& app) {
  CommandDocs docs;
  docs.name = app.get_name();
  docs.about = app.get_description();
  docs.footer = app.get_footer();
  for (const auto* option : app.get_options())
    if (!option->get_group().empty()) docs.options.push_back(read_option(*option));
  for (const auto* command : app.get_subcommands({}))
    if (!command->get_group().empty()) docs.commands.push_back(read_command(*command));
  return docs;
}

}  // namespace imapmux::app
