// `imapmux generate`: what the build makes of the program's own texts. Not in --help.
#pragma once

#include <string>
#include <vector>

#include "app/command_docs.h"

namespace imapmux::app {

// What can be made: "man", "man-config", "bash", "zsh", "fish", "schema".
std::vector<std::string> generated_kinds();
std::string generate(const std::string& kind, const CommandDocs& program);

}  // namespace imapmux::app
