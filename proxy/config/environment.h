// ${NAME} and ${NAME:-default} in scalars.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace imapmux::config {

struct Expansion {
  std::string text;
  std::string error;  // empty if all went well
};

using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

// `${NAME}` is the variable (an error if it is not set), `${NAME:-default}` the default if the variable is
// unset or empty, as in shells; `$$` is `$`; any other `$` stays, so that regular expressions can be written
// as they are.
Expansion expand_environment(std::string_view text, const Lookup& lookup);
// The same with the environment of the process.
Expansion expand_environment(std::string_view text);

}  // namespace imapmux::config
