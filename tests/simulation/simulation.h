// One run: a legacy server, the proxy, some clients and the rest of the world, from one seed. Everything that
// happens is a timer on the virtual clock, so that a seed tells the whole story.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "simulation/legacy_backend.h"
#include "simulation/mail_client.h"
#include "simulation/other_agent.h"
#include "simulation/proxy_worker.h"
#include "simulation/trouble.h"

namespace imapmux::simulation {

struct RunOptions {
  uint64_t seed = 1;
  uint64_t steps = 5000;
  Access access = Access::kExclusive;
  bool verbose = false;
};

class Simulation {
 public:
  explicit Simulation(const RunOptions& options);
  ~Simulation();

  // False: something is wrong; report() tells what.
  bool run();
  std::string report() const;
  uint64_t steps() const { return world_.steps; }
  // What this seed is made of, in a line.
  std::string describe() const;

 private:
  void play_for(base::Millis time);
  // Until it is true; fails with `what` if that takes too long.
  void play_until(const std::function<bool()>& done, const std::string& what);
  void settle();
  bool everybody_was_told() const;
  void tear_down();
  void look_after();
  bool is_open(const MailboxHistory& mailbox);
  bool may_renew(const MailboxHistory& mailbox);
  void on_change(const MailboxHistory& mailbox, const MailboxHistory::Change& change);

  const RunOptions options_;
  World world_;
  Habits habits_;
  demo::Quirks quirks_;
  std::vector<std::string> users_;
  Rules rules_;
  Network network_;
  LegacyBackend backend_;
  MailHistory history_;
  Promises promises_;
  std::unique_ptr<ProxyWorker> proxy_;
  std::unique_ptr<OtherAgent> agent_;
  std::unique_ptr<Trouble> trouble_;
  std::vector<std::unique_ptr<MailClient>> clients_;
  std::vector<std::shared_ptr<SessionAudit>> audits_;  // of connections that are open, or were a while ago
  base::Instant looked_after_{};
};

}  // namespace imapmux::simulation
