// What goes on in the process at one moment, as plain values: for `imapmux status` and the admin endpoint.
#pragma once

#include <string>
#include <vector>

#include "mailbox/arbiter.h"
#include "session/client_session.h"

namespace imapmux::session {

struct ServerStatus {
  std::string backend;
  std::string server;
  bool up = true;
  uint32_t connections = 0;
  uint32_t max_connections = 0;
  uint32_t waiting = 0;
  uint64_t times_down = 0;  // found by health checks
};

struct Snapshot {
  std::string version;
  base::Millis uptime{};
  size_t workers = 0;
  bool ready = false;
  uint64_t sessions_total = 0;
  uint64_t clients = 0;
  uint64_t clients_refused = 0;
  uint64_t logins = 0;
  uint64_t logins_refused = 0;
  uint64_t logins_unavailable = 0;
  uint64_t commands = 0;
  uint64_t in_use = 0;
  uint64_t hand_overs = 0;
  std::vector<SessionStatus> sessions;
  std::vector<ServerStatus> servers;
  std::vector<mailbox::MailboxArbiter::Snapshot> leases;
};

}  // namespace imapmux::session
