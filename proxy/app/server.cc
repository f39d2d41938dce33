#include "app/server.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>
#include <stdexcept>

#include "base/log.h"

namespace imapmux::app {

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Server::Server(config::ConfigPtr config, admin::Reload reload)
    : service_(session::Service::make(config, nullptr)) {
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
  open_admin(*config, std::move(reload));
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

}  // namespace imapmux::app
