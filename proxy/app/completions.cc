#include "app/completions.h"

#include <fmt/format.h>

namespace imapmux::app {
namespace {

std::string joined(const std::vector<std::string>& words, std::string_view separator = " ") {
  return fmt::format("{}", fmt::join(words, separator));
}

// 'it'\''s'
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

bool takes_a_file(const OptionDocs& option) {
  return option.value == "FILE";
}

std::vector<std::string> names_of(const std::vector<OptionDocs>& options) {
  std::vector<std::string> names;
  for (const auto& option : options) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

std::vector<std::string> names_of(const std::vector<CommandDocs>& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.name);
  return names;
}

// What follows an option: `case` branches on "COMMAND OPTION".
std::string bash_values(const CommandDocs& command) {
  std::string out;
  for (const auto& option : command.options) {
    if (option.value.empty() || option.names.empty()) continue;
    std::string pattern;
    for (const auto& name : option.names)
      pattern += (pattern.empty() ? "" : "|") + quoted(command.name + " " + name);
    std::string words = "COMPREPLY=()";
    if (!option.choices.empty())
      words = fmt::format("mapfile -t COMPREPLY < <(compgen -W {} -- \"$current\")",
                          quoted(joined(option.choices)));
    else if (takes_a_file(option))
      words = "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")";
    out += fmt::format("    {}) {}; return ;;\n", pattern, words);
  }
  return out;
}

// zsh's _arguments: '--tls[how TLS begins]:TLS:(none starttls)'
std::string zsh_spec(const OptionDocs& option) {
  std::string about;
  for (const char c : option.about) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') about += '\\';
    about += c;
  }
  std::string value;
  if (!option.value.empty()) {
    const std::string action = takes_a_file(option)     ? "_files"
                               : option.choices.empty() ? " "
                                                        : "(" + joined(option.choices) + ")";
    std::string name;
    for (const char c : option.value) name += c == ':' ? std::string("\\:") : std::string(1, c);
    value = ":" + name + ":" + action;
  }
  if (option.names.empty()) return " " + quoted("1" + value);
  std::string out;
  for (const auto& name : option.names)
    out += " " + quoted(fmt::format("({}){}[{}]{}", joined(option.names), name, about, value));
  return out;
}

std::string zsh_specs(const CommandDocs& command) {
  std::string out = "_arguments -C -s";
  for (const auto& option : command.options) out += " \\\n        " + zsh_spec(option).substr(1);
  return out;
}

std::string fish_line(std::string_view condition, const OptionDocs& option) {
  std::string out = fmt::format("complete -c imapmux -n {}", quoted(condition));
  for (const auto& name : option.names)
    out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  if (!option.value.empty() && !option.names.empty()) out += takes_a_file(option) ? " -rF" : " -x";
  if (!option.choices.empty()) out += " -a " + quoted(joined(option.choices));
  return out + " -d " + quoted(option.about) + "\n";
}

constexpr std::string_view kMadeBy = "# Made by `imapmux generate`.\n";

}  // namespace

std::string bash_completion(const CommandDocs& program) {
  std::string values = bash_values(program);
  std::string options;
  for (const auto& command : program.commands) {
    values += bash_values(command);
    options += fmt::format("    {}) words={} ;;\n", command.name, quoted(joined(names_of(command.options))));
  }
  const auto commands = names_of(program.commands);
  // bash takes "--option=value" for three words.
  return fmt::format(R"(# bash completion for imapmux
{made_by}_imapmux() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD-1]}} command=imapmux word words
  if [ "$current" = = ]; then
    current=
  elif [ "$option" = = ]; then
    option=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  COMPREPLY=()
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case $word in {commands}) command=$word; break ;; esac
  done
  case "$command $option" in
{values}  esac
  case $command in
{options}    *) words={top} ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -F _imapmux imapmux
)",
                     fmt::arg("made_by", kMadeBy), fmt::arg("commands", joined(commands, "|")),
                     fmt::arg("values", values), fmt::arg("options", options),
                     fmt::arg("top", quoted(joined(commands) + " " + joined(names_of(program.options)))));
}

std::string zsh_completion(const CommandDocs& program) {
  std::string commands;
  std::string branches;
  for (const auto& command : program.commands) {
    commands += fmt::format("        {}\n", quoted(command.name + ":" + command.about));
    branches += fmt::format("      {}) {} ;;\n", command.name, zsh_specs(command));
  }
  return fmt::format(R"(#compdef imapmux
{made_by}
_imapmux() {{
  local line state
  {top} \
        '1: :->command' '*:: :->arguments'
  case $state in
    command)
      local -a commands=(
{commands}      )
      _describe command commands ;;
    arguments) case $line[1] in
{branches}    esac ;;
  esac
}}

if [ "$funcstack[1]" = _imapmux ]; then
  _imapmux "$@"
else
  compdef _imapmux imapmux
fi
)",
                     fmt::arg("made_by", kMadeBy), fmt::arg("top", zsh_specs(program)),
                     fmt::arg("commands", commands), fmt::arg("branches", branches));
}

std::string fish_completion(const CommandDocs& program) {
  std::string out = "# fish completion for imapmux\n" + std::string(kMadeBy) + "complete -c imapmux -f\n";
  for (const auto& option : program.options) out += fish_line("__fish_use_subcommand", option);
  for (const auto& command : program.commands) {
    out += fmt::format("complete -c imapmux -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       quoted(command.about));
    for (const auto& option : command.options)
      if (!option.names.empty() || !option.choices.empty())
        out += fish_line("__fish_seen_subcommand_from " + command.name, option);
  }
  return out;
}

}  // namespace imapmux::app
