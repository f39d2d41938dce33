// What shells complete of the command line: commands, options, choices, files. Each a script for its shell.
#pragma once

#include <string>

#include "app/command_docs.h"

namespace imapmux::app {

std::string bash_completion(const CommandDocs& program);
std::string zsh_completion(const CommandDocs& program);
std::string fish_completion(const CommandDocs& program);

}  // namespace imapmux::app
