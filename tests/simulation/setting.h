// What a run is played in, thrown by its dice: the legacy server's quirks, the proxy's configuration. Plain
// functions.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "demo/legacy_server.h"
#include "simulation/random.h"
#include "simulation/rules.h"

namespace imapmux::simulation {

// More than a user has connections.
inline const std::vector<std::string> kMailboxes = {"INBOX", "Archive", "Drafts", "Sent", "Work/Old"};

Rules any_rules(Random& random, Access access, size_t users);
std::string describe(const Rules& rules);

demo::Quirks any_quirks(Random& random);
std::string describe(const demo::Quirks& quirks);
demo::ServerOptions server_options(const demo::Quirks& quirks, const std::vector<std::string>& users);
std::string password_of(const std::string& user);
config::ConfigPtr proxy_config(const Rules& rules);

}  // namespace imapmux::simulation
