// A mail client: connects, logs in, sends what its script says, reads or does not read, goes away without a
// word and comes back. What it knows is only what it has read. Owned by the Simulation for the whole run;
// each of its connections has a link, a script and an audit of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "simulation/network.h"
#include "simulation/script.h"
#include "simulation/session_audit.h"

namespace imapmux::simulation {

class MailClient final : private LinkPeer {
 public:
  struct Account {
    std::string user;
    std::string password;
  };
  // What the client finds around it.
  struct Surroundings {
    AuditContext audit;
    Network& network;
    const Habits& habits;
    std::function<void(std::unique_ptr<net::Stream>)> proxy;                 // takes a connection
    std::function<void(const std::shared_ptr<SessionAudit>&)> on_connected;  // a new audit
  };

  MailClient(Surroundings around, Account account, std::string name);
  ~MailClient();

  // Finishes what it has begun and begins nothing more, until it is told to go on.
  void rest(bool resting);
  // Nothing is in flight, and nothing to be finished.
  bool at_rest() const;
  // While at rest: asks for what is new.
  void ask_for_news();
  // The same with a command that needs the mailbox, which NOOP does not.
  void ask_for_all();
  // For good.
  void leave();
  bool gone() const { return link_ == nullptr; }

  const std::string& name() const { return name_; }
  const std::shared_ptr<SessionAudit>& audit() const { return audit_; }

 private:
  enum class State : uint8_t { kAway, kGreeting, kLoggingIn, kReady, kEnding };

  void act();
  void act_again();
  void act_in_idle();
  void connect();
  void log_in();
  void vanish();
  void half_close();
  void forget_connection();
  void send(const CommandPtr& command);
  void send_packet(const std::vector<CommandPtr>& commands);
  void end_idle();
  void stop_reading();

  void on_octets(std::string_view octets) override;
  void on_end() override;
  void on_reset() override;
  void on_response(const wire::Response& response);
  void on_tagged(const wire::Response& response);
  void on_go_ahead();
  void on_untagged(const wire::Response& response);

  Surroundings around_;
  World& world_;
  const Account account_;
  const std::string name_;
  async::Timer next_act_;
  async::Timer read_again_;
  State state_ = State::kAway;
  bool resting_ = false;
  bool leaving_ = false;

  // of the connection
  std::shared_ptr<Link> link_;
  std::shared_ptr<SessionAudit> audit_;
  std::unique_ptr<Script> script_;
  wire::ResponseParser parser_;
  Knowledge known_;
  std::optional<Picture> opening_;
  std::vector<CommandPtr> in_flight_;
  CommandPtr barrier_;     // nothing is sent before it is answered
  size_t parts_sent_ = 0;  // of the barrier
  bool idling_ = false;    // "+" was read, and DONE not sent
  bool wrong_password_ = false;
};

}  // namespace imapmux::simulation
