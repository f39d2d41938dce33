// The manual in man(7)'s language: imapmux(1) from the command line's own texts, imapmux.yaml(5) from the
// tables of keys. `date`: as people read it.
#pragma once

#include <string>

#include "app/command_docs.h"

namespace imapmux::app {

std::string man_page(const CommandDocs& program, const std::string& date);
std::string config_man_page(const std::string& date);

}  // namespace imapmux::app
