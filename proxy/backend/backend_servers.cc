#include "backend/backend_servers.h"

#include <algorithm>

#include "routing/router.h"

namespace imapmux::backend {
namespace {

constexpr int64_t kFirstPause = 1'000;
constexpr int64_t kLongestPause = 30'000;

net::ClientTlsOptions tls_options(const config::Backend& backend) {
  net::ClientTlsOptions options;
  options.trust = static_cast<net::TlsTrust>(backend.tls_verify);
  options.ca = backend.ca;
  options.floor = static_cast<net::TlsFloor>(backend.min_protocol);
  options.ciphers = backend.ciphers;
  return options;
}

int64_t millis(base::Instant now) {
  return now.time_since_epoch().count();
}

}  // namespace

void ConnectionLimit::set_most(uint32_t most) {
  Waiters granted;
  {
    const std::lock_guard lock(mutex_);
    most_ = most;
    granted = grant();
  }
  for (const auto& waiter : granted) waiter->granted();
}

bool ConnectionLimit::acquire(const std::shared_ptr<Waiter>& waiter) {
  const std::lock_guard lock(mutex_);
  if (most_ == 0 || (used_ < most_ && waiters_.empty())) {
    ++used_;
    return true;
  }
  waiters_.push_back(waiter);
  return false;
}

void ConnectionLimit::withdraw(const std::shared_ptr<Waiter>& waiter) {
  {
    const std::lock_guard lock(mutex_);
    if (!waiter->has_place) {
      waiters_.remove(waiter);
      return;
    }
    waiter->has_place = false;
  }
  release();
}

void ConnectionLimit::release() {
  Waiters granted;
  {
    const std::lock_guard lock(mutex_);
    --used_;
    granted = grant();
  }
  for (const auto& waiter : granted) waiter->granted();
}

ConnectionLimit::Waiters ConnectionLimit::grant() {
  Waiters granted;
  while (!waiters_.empty() && (most_ == 0 || used_ < most_)) {
    granted.splice(granted.end(), waiters_, waiters_.begin());
    granted.back()->has_place = true;
    ++used_;
  }
  return granted;
}

uint32_t ConnectionLimit::in_use() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

uint32_t ConnectionLimit::waiting() const {
  const std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(waiters_.size());
}

std::shared_ptr<BackendServers> BackendServers::make(config::ConfigPtr config, const config::Backend& backend,
                                                     const BackendServers* previous) {
  auto made = std::make_shared<BackendServers>();
  made->owner_ = std::move(config);
  made->backend_ = &backend;
  if (backend.tls != config::BackendTls::kNone) made->tls_ = net::ClientTls::make(tls_options(backend));
  for (const auto& endpoint : backend.servers) {
    std::shared_ptr<Server> server;
    if (previous) {
      const auto& old = previous->servers_;
      const auto found =
          std::find_if(old.begin(), old.end(), [&](const auto& s) { return s->endpoint == endpoint; });
      if (found != old.end()) server = *found;
    }
    if (!server) {
      server = std::make_shared<Server>();
      server->endpoint = endpoint;
    }
    made->servers_.push_back(std::move(server));
  }
  return made;
}

void BackendServers::apply_limits() const {
  for (const auto& server : servers_) server->limit->set_most(backend_->max_connections);
}

std::vector<std::shared_ptr<BackendServers::Server>> BackendServers::candidates(std::string_view login_name,
                                                                                base::Instant now) const {
  const auto preference = routing::server_preference(*backend_, login_name);
  if (!backend_->failover) return {servers_[preference.front()]};
  std::vector<std::shared_ptr<Server>> order;
  std::vector<std::shared_ptr<Server>> down;
  for (const size_t index : preference)
    (is_down(*servers_[index], now) ? down : order).push_back(servers_[index]);
  order.insert(order.end(), down.begin(), down.end());
  return order;
}

void BackendServers::failed(Server& server, base::Instant now) {
  const uint32_t failures = std::min<uint32_t>(server.failures.fetch_add(1), 10);
  server.down_until = millis(now) + std::min(kLongestPause, kFirstPause << failures);
}

void BackendServers::succeeded(Server& server) {
  server.failures = 0;
  server.down_until = 0;
  server.connects.fetch_add(1, std::memory_order_relaxed);
}

bool BackendServers::is_down(const Server& server, base::Instant now) {
  return server.down_until > millis(now);
}

}  // namespace imapmux::backend
