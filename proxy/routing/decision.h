// How a login was routed, with everything that `explain` tells beyond the target.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "routing/router.h"

namespace imapmux::routing {

struct Decision {
  std::optional<Target> target;
  std::string refusal;                   // why there is none
  std::vector<std::string> passed_over;  // the routes before it: "route 1 (line 7): only for listener imaps"
};

Decision decide(const config::Config& config, const LoginFacts& facts);

}  // namespace imapmux::routing
