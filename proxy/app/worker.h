// One event-loop thread with its listeners, its accounts and its sessions. Owned by the Server, which makes
// all workers (loops included) before it starts the first thread, and destroys them when all threads have
// ended.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "app/entrances.h"
#include "app/handing_on.h"
#include "backend/health_checks.h"
#include "net/event_loop.h"
#include "session/client_session.h"
#include "session/snapshot.h"

namespace imapmux::app {

class Worker final : private session::Host {
 public:
  using Deliver = std::function<void(size_t worker, std::unique_ptr<session::HandedOver> client)>;

  // `deliver` gets a client to another worker; called on this worker's thread.
  Worker(size_t index, size_t workers, session::Shared& shared, session::ServicePtr service, Deliver deliver);
  ~Worker();

  // Before start(). Throws std::runtime_error.
  void listen(Entrance entrance);
  void start();
  void join();

  // Any thread from here on.
  void accept_handed_over(std::unique_ptr<session::HandedOver> client);
  // `added`: sockets of listeners that are new. Those of listeners that are gone close when all are in who
  // were on their way.
  void set_service(session::ServicePtr service, std::vector<Entrance> added);
  // Stops accepting; sessions get `grace` to end, then they are cut off. Ready when the last one has ended;
  // the loop goes on, since other workers may still hand clients over.
  std::future<void> shut_down(base::Millis grace);
  // When all workers have shut down: ends the thread.
  void finish();
  // Another process takes over. Nobody is accepted any more, from when this is ready until go_on(). Sockets
  // that are not `taken` close.
  std::future<void> hold(std::set<std::string> taken);
  // It does not, after all: everything is as before.
  void go_on();
  // These accounts are the other process's from now on: their clients get `grace` to end what they have
  // begun. `done` is called on this worker's thread when nothing of them is left here.
  void give_up(mailbox::AccountSet accounts, base::Millis grace, std::function<void()> done);
  // Gives up all accounts, one after the other, within `time`.
  void give_up_all(base::Millis time, base::Millis grace);
  // Asks the worker what it does; `done` is called on the worker's thread.
  void collect(session::Detail detail, std::function<void(session::WorkerReport)> done);
  // Disconnects the clients that are meant; `done` gets their number, on the worker's thread.
  void kick(session::KickWish wish, std::function<void(size_t)> done);
  // Some servers are drained now.
  void see_drained();

 private:
  async::Scheduler& scheduler() override { return loop_; }
  void post(std::function<void()> work) override { loop_.post(std::move(work)); }
  void wipe_buffers() override { loop_.wipe_buffers(); }
  async::Task<std::unique_ptr<backend::BackendConnection>> connect(
      std::shared_ptr<backend::BackendServers> servers, std::string login_name,
      backend::MaybeOrigin origin) override;
  const session::ServicePtr& service() const override { return service_; }
  session::Shared& shared() override { return shared_; }
  mailbox::Accounts& accounts() override { return accounts_; }
  mailbox::SharedAccounts& shared_accounts() override { return shared_accounts_; }
  size_t index() const override { return index_; }
  size_t workers() const override { return workers_; }
  void hand_over(size_t worker, std::unique_ptr<session::HandedOver> client) override {
    deliver_(worker, std::move(client));
  }
  std::unique_ptr<net::Stream> adopt(session::HandedOver& client) override;
  async::Task<auth::ServiceAnswer> ask(std::shared_ptr<backend::AuthService> service,
                                       base::Secret question) override {
    return backend::AuthService::ask(loop_, std::move(service), std::move(question));
  }
  // Owned by being in the list, until finish_relay() has it.
  void keep(std::unique_ptr<session::Relay> relay) override;
  void relay_ended(session::Relay& relay) override;
  void bury(session::Seat seat) override { tasks_.spawn(close_for_good(std::move(seat))); }
  bool has_given_up(std::string_view backend, std::string_view login_name) const override {
    return handing_on_.has_given_up(backend, login_name);
  }

  void accept(const session::ServicePtr& service, const config::Listener& listener,
              std::unique_ptr<net::TcpStream> stream);
  async::Task<> serve(session::ServicePtr service, const config::Listener* listener,
                      std::unique_ptr<net::TcpStream> stream, session::ClientPlaces places);
  async::Task<> close_for_good(session::Seat seat);
  async::Task<> serve_handed_over(std::unique_ptr<session::HandedOver> client);
  async::Task<> run(session::ClientSession& session);
  async::Task<> finish_relay(std::unique_ptr<session::Relay> relay);
  async::Task<> wind_down(base::Millis grace, std::shared_ptr<std::promise<void>> done);
  async::Task<> stop_when_empty();

  const size_t index_;
  const size_t workers_;
  session::Shared& shared_;
  session::ServicePtr service_;
  Deliver deliver_;
  net::EventLoop loop_;
  async::TaskScope tasks_;
  async::TaskScope winding_down_;
  mailbox::Accounts accounts_;
  mailbox::SharedAccounts shared_accounts_;
  base::IntrusiveList<session::Session> sessions_;
  async::WaitList session_ended_;
  Entrances entrances_;
  HandingOn handing_on_;
  std::unique_ptr<backend::HealthChecks> health_checks_;  // the first worker's, for the whole process
  std::thread thread_;
  bool stopping_ = false;
};

}  // namespace imapmux::app
