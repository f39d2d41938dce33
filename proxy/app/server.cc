#include "app/server.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>
#include <stdexcept>

#include "app/version.h"
#include "base/log.h"

namespace imapmux::app {

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Server::Server(config::ConfigPtr config) : service_(session::Service::make(config, nullptr)) {
  shared_.spool =
      std::make_unique<net::SpoolLimits>(config->limits.max_spool, config->limits.spool_directory);
  for (size_t i = 0; i < config->workers; ++i) {
    workers_.push_back(
        std::make_unique<Worker>(i, config->workers, shared_, service_,
                                 [this](size_t to, std::unique_ptr<session::HandedOver> client) {
                                   workers_[to]->accept_handed_over(std::move(client));
                                 }));
  }
  for (const auto& listener : config->listeners) bind(listener);
  if (config->admin)
    admin_ = std::make_unique<admin::AdminServer>(
        *config->admin,
        admin::AdminServer::Sources{.status = [this] { return snapshot(); },
                                    .ready = [this] { return running_.load(); },
                                    .token = [this] { return service()->config->admin_token.clone(); }});
}

Server::~Server() = default;

void Server::bind(const config::Listener& listener) {
  auto endpoint = listener.bind;
  const auto kind = endpoint.is_unix() ? net::SocketKind::kUnix : net::SocketKind::kTcp;
  const auto check = endpoint.port == 0 ? net::BindCheck::kNone : net::BindCheck::kNobodyElse;
  const int first = net::open_listening_socket(endpoint, listener.mode, check);
  if (kind == net::SocketKind::kTcp) endpoint.port = net::bound_port(first);
  bound_.push_back({listener.name, endpoint.port});
  // All sockets are there before the first one listens: the kernel spreads connections over those that
  // listen.
  std::vector<int> descriptors{first};
  while (descriptors.size() < workers_.size())
    descriptors.push_back(kind == net::SocketKind::kTcp
                              ? net::open_listening_socket(endpoint, 0, net::BindCheck::kNone)
                              : fcntl(first, F_DUPFD_CLOEXEC, 0));
  for (size_t i = 0; i < workers_.size(); ++i) workers_[i]->listen(listener.name, descriptors[i], kind);
  base::log::info("listener {}: listening on {}", listener.name, endpoint.to_string());
}

uint16_t Server::port(const std::string& listener) const {
  for (const auto& bound : bound_)
    if (bound.listener == listener) return bound.port;
  return 0;
}

session::ServicePtr Server::service() const {
  const std::lock_guard lock(mutex_);
  return service_;
}

void Server::start() {
  running_ = true;
  for (auto& worker : workers_) worker->start();
}

void Server::stop() {
  if (!running_.exchange(false)) return;
  const auto grace = service()->config->shutdown_grace;
  std::vector<std::future<void>> ended;
  for (auto& worker : workers_) ended.push_back(worker->shut_down(grace));
  for (auto& one : ended) one.wait();
  for (auto& worker : workers_) worker->finish();
  for (auto& worker : workers_) worker->join();
  admin_.reset();
}

void Server::reload(config::ConfigPtr config) {
  const auto before = service();
  const auto fresh = session::Service::make(config, before.get());
  {
    const std::lock_guard lock(mutex_);
    service_ = fresh;
  }
  shared_.spool->set_most(config->limits.max_spool);
  for (auto& worker : workers_) worker->set_service(fresh);
  base::log::configure(config->log_level, config->log_format);
  for (const auto& what : fresh->needs_restart)
    base::log::warn("reload: {}: takes effect after a restart", what);
}

session::Snapshot Server::snapshot() {
  session::Snapshot all;
  all.version = kVersion;
  all.workers = workers_.size();
  all.ready = running_;
  all.uptime = std::chrono::duration_cast<base::Millis>(std::chrono::steady_clock::now() - started_);
  const auto& counters = shared_.counters;
  all.clients = counters.clients;
  all.sessions_total = counters.sessions;
  all.clients_refused = counters.clients_refused;
  all.logins = counters.logins;
  all.logins_refused = counters.logins_refused;
  all.logins_unavailable = counters.logins_unavailable;
  all.commands = counters.commands;
  all.in_use = counters.in_use;
  all.hand_overs = counters.hand_overs;
  all.leases = shared_.arbiter.snapshot();

  const auto now = base::Instant(
      std::chrono::duration_cast<base::Millis>(std::chrono::steady_clock::now().time_since_epoch()));
  for (const auto& [name, servers] : service()->backends) {
    for (const auto& server : servers->servers()) {
      all.servers.push_back({name, server->endpoint.to_string(),
                             server->health.standing(now) == backend::ServerHealth::Standing::kUp,
                             server->limit->in_use(), servers->config().max_connections,
                             server->limit->waiting(), server->times_down.load()});
    }
  }
  if (!running_) return all;

  std::vector<std::future<std::vector<session::SessionStatus>>> answers;
  for (auto& worker : workers_) {
    auto promise = std::make_shared<std::promise<std::vector<session::SessionStatus>>>();
    answers.push_back(promise->get_future());
    worker->collect(
        [promise](std::vector<session::SessionStatus> sessions) { promise->set_value(std::move(sessions)); });
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (auto& answer : answers) {
    // A worker that is ending does not answer any more.
    auto state = std::future_status::timeout;
    while (state != std::future_status::ready && running_ && std::chrono::steady_clock::now() < deadline)
      state = answer.wait_for(std::chrono::milliseconds(20));
    if (state != std::future_status::ready) continue;
    auto sessions = answer.get();
    std::move(sessions.begin(), sessions.end(), std::back_inserter(all.sessions));
  }
  std::sort(all.sessions.begin(), all.sessions.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  return all;
}

}  // namespace imapmux::app
