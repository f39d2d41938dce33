#include "backend/health_checks.h"

#include <algorithm>

#include "backend/open.h"
#include "base/log.h"
#include "net/connect.h"

namespace imapmux::backend {
namespace {

using async::Task;
using base::Millis;

constexpr Millis kLogoutLimit{1'000};
// How soon a server that an auth_http service has named is noticed.
constexpr Millis kCollectAgain{5'000};

}  // namespace

HealthChecks::HealthChecks(net::EventLoop& loop) : loop_(loop), tasks_(loop) {
  tasks_.spawn(run());
}

void HealthChecks::watch(Backends backends) {
  backends_ = std::move(backends);
  collect();
  changed_.notify_all();
}

void HealthChecks::collect() {
  Servers wanted;
  for (const auto& [name, servers] : backends_) {
    note(servers, wanted);
    for (const auto& other : servers->elsewhere()) note(other, wanted);
  }
  watched_ = std::move(wanted);
}

void HealthChecks::note(const std::shared_ptr<BackendServers>& servers, Servers& wanted) {
  const auto& rules = servers->config().health_check;
  if (!rules) return;
  for (const auto& server : servers->servers()) {
    const auto known = watched_.find(server.get());
    auto watched = known == watched_.end() ? std::make_shared<Watched>() : known->second;
    const auto latest = loop_.now() + rules->interval;
    watched->next = known == watched_.end() ? latest : std::min(watched->next, latest);
    watched->servers = servers;
    watched->server = server;
    wanted.emplace(server.get(), std::move(watched));
  }
}

Task<> HealthChecks::stop() {
  tasks_.cancel();
  co_await tasks_.join();
}

Task<> HealthChecks::run() {
  auto collected = loop_.now();
  for (;;) {
    const auto now = loop_.now();
    if (now - collected >= kCollectAgain) {
      collect();
      collected = now;
    }
    auto next = collected + kCollectAgain;
    for (const auto& [server, watched] : watched_) {
      const auto servers = watched->servers.lock();
      if (watched->busy || !servers) continue;
      const auto interval = servers->config().health_check->interval;
      if (watched->next <= now) {
        watched->next = now + interval;
        if (server->health.in_doubt(now, interval)) {
          watched->busy = true;
          tasks_.spawn(check(servers, watched));
          continue;
        }
      }
      next = std::min(next, watched->next);
    }
    co_await changed_.wait_for(std::chrono::duration_cast<Millis>(next - now));
  }
}

Task<> HealthChecks::check(std::shared_ptr<BackendServers> servers, std::shared_ptr<Watched> watched) {
  auto& server = *watched->server;
  std::string problem;
  try {
    co_await knock(servers, watched->server);
  } catch (const net::OutOfDescriptors& error) {  // our failure, not the server's
    base::log::warn("backend {}: no health check: {}", servers->config().name, error.what());
  } catch (const net::ConnectionLost& error) {
    problem = error.what();
  }
  if (!problem.empty()) {
    base::log::debug("backend {}: health check of {}: {}", servers->config().name,
                     server.endpoint.to_string(), problem);
    servers->failed(server, loop_.now(), problem);
  }
  watched->busy = false;
  changed_.notify_all();
}

Task<> HealthChecks::knock(std::shared_ptr<BackendServers> servers,
                           std::shared_ptr<BackendServers::Server> server) {
  if (!server->limit->try_acquire()) co_return;
  ConnectionLimit::Permit permit(server->limit);
  auto connection = co_await connect_to(loop_, servers, server, std::nullopt,
                                        servers->config().health_check->timeout, Millis(0));
  connection->permit = std::move(permit);
  servers->succeeded(*server, loop_.now());
  co_await connection->close(kLogoutLimit);
}

}  // namespace imapmux::backend
