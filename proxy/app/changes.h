// What a reload changes, in words for the log and for whoever asked for it. Pure.
#pragma once

#include <string>
#include <vector>

#include "session/service.h"

namespace imapmux::app {

struct Changes {
  std::vector<std::string> made;           // a line for each thing: "listener imaps: added, [::]:993"
  std::vector<std::string> needs_restart;  // keys whose new value a running process can't take
};

// `started`: the configuration that the process began with.
Changes changes_between(const session::Service& before, const session::Service& after,
                        const config::Config& started);

}  // namespace imapmux::app
