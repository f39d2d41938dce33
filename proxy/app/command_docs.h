// The command line as a tree of plain values, read off the parser that also makes --help: what man page and
// shell completions are made of.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace imapmux::app {

struct OptionDocs {
  std::vector<std::string> names;  // "-h", "--help"; none: it stands without a name
  std::string value;               // what is to be given, "FILE"; empty: a flag
  std::vector<std::string> choices;
  std::string about;
  std::string standard;     // without being given; empty: nothing
  std::string environment;  // the variable that gives it as well; empty: none
  bool required = false;
};

struct CommandDocs {
  std::string name;
  std::string about;
  std::string footer;
  std::vector<OptionDocs> options;
  std::vector<CommandDocs> commands;  // those that --help shows
};

CommandDocs read_command(const CLI::App& app);

}  // namespace imapmux::app
