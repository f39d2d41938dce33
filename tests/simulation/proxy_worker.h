// The proxy's worker of a run: the real sessions, on the virtual clock and on memory links instead of a loop
// and sockets. One per run; what app::Worker does without libuv.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/task_scope.h"
#include "session/client_session.h"
#include "session/relay.h"
#include "simulation/legacy_backend.h"
#include "simulation/world.h"

namespace imapmux::simulation {

class ProxyWorker final : private session::Host {
 public:
  ProxyWorker(World& world, LegacyBackend& backend, config::ConfigPtr config);
  ~ProxyWorker();

  // A client has connected.
  void accept(std::unique_ptr<net::Stream> stream);
  // Ends all sessions. Done when done().
  void shut_down();
  // When no session is left: logs the shared accounts out.
  void close_accounts() { tasks_.spawn(shared_accounts_.close_all()); }
  bool done() const { return tasks_.empty(); }
  // What is wrong when everything has ended; empty: nothing is left.
  std::string leftovers();
  const session::Counters& counters() const { return shared_.counters; }

 private:
  async::Scheduler& scheduler() override { return world_.scheduler; }
  void post(std::function<void()> work) override;
  void wipe_buffers() override {}
  async::Task<std::unique_ptr<backend::BackendConnection>> connect(
      std::shared_ptr<backend::BackendServers> servers, std::string login_name,
      backend::MaybeOrigin origin) override;
  const session::ServicePtr& service() const override { return service_; }
  session::Shared& shared() override { return shared_; }
  mailbox::Accounts& accounts() override { return accounts_; }
  mailbox::SharedAccounts& shared_accounts() override { return shared_accounts_; }
  size_t index() const override { return 0; }
  size_t workers() const override { return 1; }
  void hand_over(size_t, std::unique_ptr<session::HandedOver>) override {}
  std::unique_ptr<net::Stream> adopt(session::HandedOver&) override { return nullptr; }
  // No route of a simulation asks.
  async::Task<auth::ServiceAnswer> ask(std::shared_ptr<backend::AuthService>, base::Secret) override {
    throw backend::ServiceUnavailable("there is none");
  }
  // No backend of a simulation is unrestricted.
  void keep(std::unique_ptr<session::Relay>) override {}
  void relay_ended(session::Relay&) override {}
  void bury(session::Seat seat) override { tasks_.spawn(close_for_good(std::move(seat))); }

  bool has_given_up(std::string_view, std::string_view) const override { return false; }

  async::Task<backend::ConnectionLimit::Permit> take_place(std::shared_ptr<backend::ConnectionLimit> limit,
                                                           base::Millis most);
  async::Task<> serve(std::unique_ptr<net::Stream> stream);
  static async::Task<> close_for_good(session::Seat seat);
  void run_posted();

  World& world_;
  LegacyBackend& backend_;
  session::ServicePtr service_;
  session::Shared shared_;
  async::TaskScope tasks_;
  mailbox::Accounts accounts_;
  mailbox::SharedAccounts shared_accounts_;
  base::IntrusiveList<session::Session> sessions_;
  std::vector<std::function<void()>> posted_;
  async::Timer posting_;
};

}  // namespace imapmux::simulation
