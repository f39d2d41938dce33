#include "simulation/proxy_worker.h"

#include <fmt/core.h>

#include <utility>

namespace imapmux::simulation {

using async::Task;
using base::Millis;

ProxyWorker::ProxyWorker(World& world, LegacyBackend& backend, config::ConfigPtr config)
    : world_(world),
      backend_(backend),
      service_(session::Service::make(std::move(config), nullptr)),
      tasks_(world.scheduler),
      shared_accounts_(*this),
      posting_(world.scheduler, [this] { run_posted(); }) {
  shared_.spool = std::make_unique<net::SpoolLimits>(service_->config->limits.max_spool,
                                                     service_->config->limits.spool_directory);
  service_->apply_limits();
}

ProxyWorker::~ProxyWorker() = default;

void ProxyWorker::accept(std::unique_ptr<net::Stream> stream) {
  tasks_.spawn(serve(std::move(stream)));
}

Task<> ProxyWorker::serve(std::unique_ptr<net::Stream> stream) {
  session::ClientSession session(*this, service_, service_->config->listeners.front(), std::move(stream), {});
  sessions_.push_back(session);
  co_await session.run();
  session.unlink();
}

Task<> ProxyWorker::close_for_good(session::Seat seat) {
  co_await seat.connection->close(Millis(1'000), Millis(2'000));
}

namespace {

struct PlaceWait {
  async::Event granted;
};

}  // namespace

// What keeps to max_connections, like open_connection() of backend/open.cc.
Task<backend::ConnectionLimit::Permit> ProxyWorker::take_place(
    std::shared_ptr<backend::ConnectionLimit> limit, Millis most) {
  auto wait = std::make_shared<PlaceWait>();
  auto waiter = std::make_shared<backend::ConnectionLimit::Waiter>();
  waiter->granted = [this, weak = std::weak_ptr(wait)] {
    post([weak] {
      if (const auto alive = weak.lock()) alive->granted.set();
    });
  };
  if (limit->acquire(waiter)) co_return backend::ConnectionLimit::Permit(limit);
  std::exception_ptr cancelled;
  try {
    co_await wait->granted.wait_for(most);
  } catch (const async::Cancelled&) {
    cancelled = std::current_exception();
  }
  if (!cancelled && wait->granted.is_set()) co_return backend::ConnectionLimit::Permit(limit);
  limit->withdraw(waiter);
  if (cancelled) std::rethrow_exception(cancelled);
  throw backend::BackendUnavailable("no connection became free (max_connections)");
}

// Like backend::open_connection, but for the server, which is the only one, and the network.
Task<std::unique_ptr<backend::BackendConnection>> ProxyWorker::connect(
    std::shared_ptr<backend::BackendServers> servers, std::string login_name, backend::MaybeOrigin) {
  const auto& settings = servers->config();
  const auto server = servers->servers().front();
  auto permit = co_await take_place(server->limit, settings.backend_wait);
  co_await async::sleep_for(Millis(world_.random.below(20)));
  if (!backend_.accepts()) throw backend::BackendUnavailable("connection refused");
  auto stream = Link::open_stream(backend_.accept(login_name));
  auto connection = std::make_unique<backend::BackendConnection>(world_.scheduler, std::move(stream),
                                                                 settings.command_timeout);
  try {
    co_await connection->greet(settings.connect_timeout);
    if (connection->capabilities().empty()) co_await connection->run("CAPABILITY");
  } catch (const net::ConnectionLost& lost) {
    throw backend::BackendUnavailable(lost.what());
  }
  connection->server = server;
  connection->permit = std::move(permit);
  co_return connection;
}

void ProxyWorker::post(std::function<void()> work) {
  posted_.push_back(std::move(work));
  if (!posting_.active()) posting_.start(Millis(world_.random.below(2)));
}

void ProxyWorker::run_posted() {
  const auto batch = std::exchange(posted_, {});
  for (const auto& work : batch) work();
}

void ProxyWorker::shut_down() {
  sessions_.for_each([](session::Session& session) { session.shut_down(); });
}

std::string ProxyWorker::leftovers() {
  if (!tasks_.empty()) return "a task has not ended";
  if (!sessions_.empty()) return "a session has not ended";
  if (shared_.arbiter.held() > 0) return fmt::format("{} leases were not given back", shared_.arbiter.held());
  if (shared_.arbiter.waiting() > 0) return "a ticket still waits for a lease";
  if (posting_.active()) return "work is posted to a worker that has ended";
  return {};
}

}  // namespace imapmux::simulation
