// What happens to the mail behind the proxy's back: delivery, and another mail program of the user's. It
// works on the MailStore itself, as a local program would. Owned by the Simulation.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "demo/legacy_server.h"
#include "simulation/mail_history.h"
#include "simulation/script.h"
#include "simulation/world.h"

namespace imapmux::simulation {

class OtherAgent {
 public:
  using Question = std::function<bool(const MailboxHistory&)>;
  // `is_open`: somebody has selected it. `may_renew`: everybody will notice another UIDVALIDITY.
  OtherAgent(World& world, MailHistory& history, demo::MailStore& store, const Habits& habits,
             std::vector<std::string> users, Question is_open, Question may_renew);

  void rest(bool resting) { resting_ = resting; }
  // It is its own doing that the store tells of.
  bool acting() const { return acting_; }

 private:
  void act();
  void deliver(const MailboxHistory& mailbox);
  void expunge(const MailboxHistory& mailbox);
  void change_flags(const MailboxHistory& mailbox);
  void exchange(const MailboxHistory& mailbox);
  void renew(const MailboxHistory& mailbox);
  const MailboxHistory& some_mailbox();

  World& world_;
  MailHistory& history_;
  demo::MailStore& store_;
  const Habits& habits_;
  const std::vector<std::string> users_;
  const Question is_open_;
  const Question may_renew_;
  async::Timer next_act_;
  bool resting_ = false;
  bool acting_ = false;
};

}  // namespace imapmux::simulation
