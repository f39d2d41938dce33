#include "app/server.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

Server::Server(config::ConfigPtr config, admin::Reload reload, std::unique_ptr<TakeoverHeir> heir)
    : started_with_(config),
      service_(session::Service::make(config, nullptr)),
      reload_(std::move(reload)),
      heir_(std::move(heir)) {
  service_->apply_limits();
  shared_.spool =
      std::make_unique<net::SpoolLimits>(config->limits.max_spool, config->limits.spool_directory);
  for (size_t i = 0; i < config->workers; ++i) {
    workers_.push_back(
        std::make_unique<Worker>(i, config->workers, shared_, service_,
                                 [this](size_t to, std::unique_ptr<session::HandedOver> client) {
                                   workers_[to]->accept_handed_over(std::move(client));
                                 }));
  }
  std::vector<base::Endpoint> closing;
  if (heir_) closing = inherit(heir_->inherited());
  begin_listening(open_new(*config, std::move(closing)));
  for (const auto& listener : config->listeners)
    base::log::info("listener {}: listening on {}", listener.name,
                    bound_[socket_id(listener)].endpoint.to_string());
  // Inherited, it is opened when the other process has let go of it.
  if (!admin_descriptor_) open_admin();
}

Server::~Server() = default;

namespace {

bool has_listener(const config::Config& config, const std::string& id) {
  return std::any_of(config.listeners.begin(), config.listeners.end(),
                     [&](const auto& listener) { return socket_id(listener) == id; });
}

}  // namespace

// Listens with what the other process has, as far as the configuration names it. Gives the other addresses.
std::vector<base::Endpoint> Server::inherit(Inherited inherited) {
  const auto& config = *service()->config;
  shared_.inheritance = std::move(inherited.accounts);
  if (config.admin && inherited.admin_address == config.admin) admin_descriptor_ = std::move(inherited.admin);
  std::vector<base::Endpoint> closing;
  std::vector<ListeningSockets> wanted;
  for (auto& sockets : inherited.sockets) {
    if (has_listener(config, sockets.id)) {
      inherited_.push_back(sockets.id);
      wanted.push_back(std::move(sockets));
    } else {
      closing.push_back(sockets.endpoint);
    }
  }
  begin_listening(std::move(wanted));
  return closing;
}

void Server::begin_listening(std::vector<ListeningSockets> sockets) {
  auto opened = distribute(std::move(sockets));
  for (size_t i = 0; i < workers_.size(); ++i)
    for (auto& entrance : opened[i]) workers_[i]->listen(std::move(entrance));
}

// The other process may have had fewer workers. Not before it has let go: who comes to a socket of ours would
// be lost if it went on after all. A worker without one of its own still gets the clients of its accounts.
void Server::complete_sockets() {
  try {
    for (const auto& id : inherited_)
      while (bound_.at(id).descriptors.size() < workers_.size()) add_socket(id, bound_.at(id));
  } catch (const std::runtime_error& error) {
    base::log::warn("take-over: {}", error.what());
  }
}

void Server::add_socket(const std::string& id, Bound& bound) {
  auto& worker = *workers_[bound.descriptors.size()];
  const int fd = another_socket(bound.kind, bound.endpoint, bound.descriptors.front());
  worker.listen({id, bound.kind, base::Descriptor(fd)});
  bound.descriptors.push_back(fd);
}

// Those of listeners that have none yet. A port of an address that is closing may be bound again.
std::vector<ListeningSockets> Server::open_new(const config::Config& config,
                                               std::vector<base::Endpoint> closing) const {
  for (const auto& [id, bound] : bound_)
    if (!has_listener(config, id)) closing.push_back(bound.endpoint);
  std::vector<ListeningSockets> opened;
  for (const auto& listener : config.listeners) {
    if (bound_.contains(socket_id(listener))) continue;
    const bool ours = std::any_of(closing.begin(), closing.end(),
                                  [&](const auto& endpoint) { return endpoint.port == listener.bind.port; });
    opened.push_back(open_sockets(listener, workers_.size(), ours ? PortIs::kOurs : PortIs::kFree));
  }
  return opened;
}

Server::Opened Server::distribute(std::vector<ListeningSockets> sockets) {
  Opened all(workers_.size());
  for (auto& one : sockets) {
    auto& bound = bound_[one.id];
    bound = {one.kind, one.endpoint, {}};
    for (size_t i = 0; i < one.descriptors.size(); ++i) {
      bound.descriptors.push_back(one.descriptors[i].get());
      all[i % workers_.size()].push_back({one.id, one.kind, std::move(one.descriptors[i])});
    }
  }
  return all;
}

// The workers close them.
void Server::forget_sockets(const config::Config& config) {
  for (auto at = bound_.begin(); at != bound_.end();) {
    if (has_listener(config, at->first)) {
      ++at;
      continue;
    }
    // Nobody new comes by a path that is gone.
    if (at->second.endpoint.is_unix()) ::unlink(at->second.endpoint.path.c_str());
    at = bound_.erase(at);
  }
}

uint16_t Server::port(const std::string& listener) const {
  const std::lock_guard lock(reloading_);
  const auto config = service()->config;
  for (const auto& one : config->listeners)
    if (one.name == listener) return bound_.at(socket_id(one)).endpoint.port;
  return 0;
}

session::ServicePtr Server::service() const {
  const std::lock_guard lock(mutex_);
  return service_;
}

void Server::start() {
  if (heir_) {
    heir_->claim(inherited_, *shared_.inheritance,
                 [this](const std::string& backend, const std::string& server, uint32_t number) {
                   set_theirs(backend, server, number);
                 });
    complete_sockets();
    if (admin_descriptor_) open_admin();
  }
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
  const std::lock_guard lock(reloading_);
  admin_.reset();
}

Changes Server::reload(config::ConfigPtr config) {
  const std::lock_guard one_at_a_time(reloading_);
  if (handing_on_ || is_inheriting())
    throw std::runtime_error("a take-over is under way, try again behind it");
  const auto before = service();
  const auto fresh = session::Service::make(config, before.get());
  auto opened = open_new(*config, {});
  // From here on nothing fails.
  auto added = distribute(std::move(opened));
  fresh->apply_limits();
  {
    const std::lock_guard lock(mutex_);
    service_ = fresh;
  }
  shared_.spool->set_most(config->limits.max_spool);
  for (size_t i = 0; i < workers_.size(); ++i) workers_[i]->set_service(fresh, std::move(added[i]));
  forget_sockets(*config);
  for (const auto& listener : config->listeners)
    if (listener.bind.is_unix()) ::chmod(listener.bind.path.c_str(), listener.mode);
  base::log::configure(config->log_level, config->log_format);
  auto changes = changes_between(*before, *fresh, *started_with_);
  for (const auto& line : changes.made) base::log::info("reload: {}", line);
  for (const auto& key : changes.needs_restart)
    base::log::warn("reload: {}: takes effect after a restart", key);
  return changes;
}

}  // namespace imapmux::app
