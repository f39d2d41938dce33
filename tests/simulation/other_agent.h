// What happens to the mail behind the proxy's back: delivery, and another mail program of the user's. It
// works on the MailStore itself, as a local program would. Owned by the Simulation.
#pragma once

#include <string>
#include <vector>

#include "demo/legacy_server.h"
#include "simulation/mail_history.h"
#include "simulation/script.h"
#include "simulation/world.h"

namespace imapmux::simulation {

class OtherAgent {
 public:
  OtherAgent(World& world, MailHistory& history, demo::MailStore& store, const Habits& habits,
             std::vector<std::string> users);

  void rest(bool resting) { resting_ = resting; }
  // It is its own doing that the store tells of.
  bool acting() const { return acting_; }

 private:
  void act();
  void deliver(const MailboxHistory& mailbox);
  void expunge(const MailboxHistory& mailbox);
  void change_flags(const MailboxHistory& mailbox);

  World& world_;
  MailHistory& history_;
  demo::MailStore& store_;
  const Habits& habits_;
  const std::vector<std::string> users_;
  async::Timer next_act_;
  bool resting_ = false;
  bool acting_ = false;
};

}  // namespace imapmux::simulation
