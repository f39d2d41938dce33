// What goes on in the process at one moment, as plain values: for `imapmux status` and the admin endpoint.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "mailbox/account_status.h"
#include "mailbox/arbiter.h"
#include "mailbox/shared_accounts.h"
#include "session/readings.h"
#include "session/session.h"

namespace imapmux::session {

// How much is to be told one by one: of many, those where somebody waits come first, then those with the most
// sessions, or who were heard last. What is counted is always counted whole.
struct Detail {
  static constexpr size_t kAll = std::numeric_limits<size_t>::max();
  size_t most = kAll;  // sessions, accounts, leases
};

// What one worker has to say.
struct WorkerReport {
  std::vector<SessionStatus> sessions;
  std::vector<mailbox::AccountStatus> accounts;
  mailbox::AccountTotals totals;  // with relays
  std::array<uint64_t, kStates> clients_by_state{};
  uint64_t clients_waiting = 0;
  void add(WorkerReport other);
  // Of what several have told, as much as one would have told; sessions in the order in which they came.
  void trim(Detail detail);
};
// On the worker's thread.
WorkerReport report(const base::IntrusiveList<Session>& sessions, const mailbox::SharedAccounts& accounts,
                    Detail detail);

// Whose clients are to be disconnected: all of a user's, as he calls himself or as the backend does, or one.
struct KickWish {
  std::string user;  // empty: by id
  uint64_t session = 0;
  bool means(const Session& session) const;
};

struct ServerStatus {
  std::string backend;
  std::string server;
  backend::ServerHealth::Standing standing = backend::ServerHealth::Standing::kUp;
  bool draining = false;
  uint32_t connections = 0;  // also those that are being opened or closed
  uint32_t max_connections = 0;
  uint32_t waiting = 0;
  uint64_t connects = 0;
  uint64_t failures = 0;    // to connect
  uint64_t times_down = 0;  // found by health checks
  std::optional<std::chrono::microseconds> connect_time;
  std::optional<std::chrono::microseconds> answer_time;
};

struct Snapshot {
  std::string version;
  base::Millis uptime{};
  size_t workers = 0;
  bool ready = false;
  bool draining = false;
  uint64_t sessions_total = 0;
  uint64_t clients = 0;
  uint64_t clients_refused = 0;
  uint64_t logins = 0;
  uint64_t logins_refused = 0;
  uint64_t logins_unavailable = 0;
  uint64_t in_use = 0;
  uint64_t hand_overs = 0;
  uint64_t spooled = 0;  // octets, now
  uint64_t most_spooled = 0;
  uint64_t leases_held = 0;
  uint64_t leases_waiting = 0;
  WorkerReport all;  // of all workers
  Readings meters;
  std::vector<ServerStatus> servers;
  std::vector<mailbox::MailboxArbiter::Snapshot> leases;
};

}  // namespace imapmux::session
