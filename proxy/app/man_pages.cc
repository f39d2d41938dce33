#include "app/man_pages.h"

#include <fmt/format.h>

#include "app/version.h"
#include "config/key_table.h"

namespace imapmux::app {
namespace {

// groff_man(7): a text line; "-" as it is typed, no line that looks like a request.
std::string roff(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '~' || c == '^')
      out += fmt::format("\\({}", c == '~' ? "ti" : "ha");
    else
      out += c;
    at_start = c == '\n';
  }
  return out;
}

std::string bold(std::string_view text) {
  return "\\fB" + roff(text) + "\\fR";
}
std::string italic(std::string_view text) {
  return "\\fI" + roff(text) + "\\fR";
}

// "--config FILE"
std::string usage(const OptionDocs& option) {
  if (option.names.empty()) return italic(option.value);
  std::string out;
  for (const auto& name : option.names) out += (out.empty() ? "" : ", ") + bold(name);
  return option.value.empty() ? out : out + " " + italic(option.value);
}

std::string ended(std::string text) {
  if (!text.empty() && text.back() != '.') text += '.';
  return text;
}

std::string sentence(std::string text) {
  if (!text.empty()) text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  return ended(std::move(text));
}

std::string describe(const OptionDocs& option) {
  std::string out = roff(sentence(option.about));
  std::string words;
  for (const auto& choice : option.choices) words += (words.empty() ? "" : ", ") + bold(choice);
  if (!words.empty()) out += "\nOne of " + words + ".";
  if (!option.standard.empty()) out += "\nDefault: " + bold(option.standard) + ".";
  if (!option.environment.empty()) out += "\nAlso taken from " + bold(option.environment) + ".";
  if (option.required) out += "\nRequired.";
  return out;
}

std::string options(const std::vector<OptionDocs>& all) {
  std::string out;
  for (const auto& option : all) out += ".TP\n" + usage(option) + "\n" + describe(option) + "\n";
  return out;
}

std::string title(std::string_view name, int section, const std::string& date, std::string_view about) {
  return fmt::format(".TH {} {} {} \"imapmux {}\" \"{}\"\n", name, section, date, kVersion, about);
}

bool is_help(const OptionDocs& option) {
  return !option.names.empty() && option.names.back() == "--help";
}

std::string synopsis(const CommandDocs& program) {
  std::string out;
  for (const auto& command : program.commands) {
    out += (out.empty() ? "" : ".br\n") + bold(program.name) + " " + bold(command.name);
    for (const auto& option : command.options) {
      if (is_help(option)) continue;
      out += option.required ? " " + usage(option) : " [" + usage(option) + "]";
    }
    out += "\n";
  }
  return out;
}

// "backends.NAME.tls": section and name
std::pair<std::string, std::string> parts_of(const std::string& path) {
  const auto dot = path.rfind('.');
  if (dot == std::string::npos) return {"", path};
  return {path.substr(0, dot), path.substr(dot + 1)};
}

std::string describe(const config::KeyInfo& key) {
  std::string out = roff(ended(std::string(key.about)));
  const std::string standard(key.standard);
  if (standard == config::kRequired)
    out += "\nRequired.";
  else if (standard.starts_with('('))
    out += "\nDefault: " + roff(standard.substr(1, standard.size() - 2)) + ".";
  else if (!standard.empty())
    out += "\nDefault: " + bold(standard) + ".";
  if (key.reload == config::Reload::kNeedsRestart) out += "\nTakes effect after a restart.";
  return out;
}

}  // namespace

std::string man_page(const CommandDocs& program, const std::string& date) {
  std::string out = title("IMAPMUX", 1, date, "User Commands");
  out += ".SH NAME\nimapmux \\- " + roff(program.about.substr(program.about.find(": ") + 2)) + "\n";
  out += ".SH SYNOPSIS\n" + synopsis(program) + ".SH OPTIONS\n" + options(program.options);
  out += ".SH COMMANDS\n";
  for (const auto& command : program.commands) {
    out += ".SS " + roff(program.name + " " + command.name) + "\n" + roff(sentence(command.about)) + "\n";
    for (const auto& option : command.options)
      if (!is_help(option)) out += options({option});
  }
  out += ".SH NOTES\n" + roff(program.footer) + "\n";
  out += ".SH FILES\n.TP\n" + italic("/etc/imapmux/imapmux.yaml") +
         "\nThe configuration of the system's service.\n.SH SEE ALSO\n.BR imapmux.yaml (5)\n";
  return out;
}

std::string config_man_page(const std::string& date) {
  std::string out = title("IMAPMUX.YAML", 5, date, "File Formats");
  out +=
      ".SH NAME\nimapmux.yaml \\- configuration of the IMAP proxy imapmux\n.SH DESCRIPTION\n"
      "YAML; only\n.B backends\nis required.\n"
      "Durations are written as 500ms, 30s, 5m, 1h; sizes as 512B, 64KiB, 1MiB, 4GiB.\n"
      "${NAME} and ${NAME:\\-default} in values take environment variables; $$ is $.\n"
      "Relative paths begin at the directory of the file.\n"
      "A signal SIGHUP makes the program read the file again.\n"
      ".B imapmux check\nsays whether a file is right.\n";
  std::string section = "?";
  for (const auto& key : config::all_keys()) {
    if (!key.supported) continue;
    const auto [stanza, name] = parts_of(key.path);
    if (stanza != section) {
      section = stanza;
      out += ".SH " + (stanza.empty() ? "TOP LEVEL" : "\"" + roff(stanza) + "\"") + "\n";
    }
    out += ".TP\n" + bold(name) + ": " + italic(key.type) + "\n" + describe(key) + "\n";
  }
  return out + ".SH SEE ALSO\n.BR imapmux (1)\n";
}

}  // namespace imapmux::app
