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
constexpr Millis kNothingToDo{3'600'000};

}  // namespace

HealthChecks::HealthChecks(net::EventLoop& loop) : loop_(loop), tasks_(loop) {
  tasks_.spawn(run());
}

void HealthChecks::watch(const Backends& backends) {
  std::map<const BackendServers::Server*, std::shared_ptr<Watched>> wanted;
  for (const auto& [name, servers] : backends) {
    const auto& rules = servers->config().health_check;
    if (!rules) continue;
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
  watched_ = std::move(wanted);
  changed_.notify_all();
}

Task<> HealthChecks::stop() {
  tasks_.cancel();
  co_await tasks_.join();
}

Task<> HealthChecks::run() {
  for (;;) {
    const auto now = loop_.now();
    auto next = now + kNothingToDo;
    for (const auto& [server, watched] : watched_) {
      if (watched->busy) continue;
      const auto interval = watched->servers->config().health_check->interval;
      if (watched->next <= now) {
        watched->next = now + interval;
        if (server->health.in_doubt(now, interval)) {
          watched->busy = true;
          tasks_.spawn(check(watched));
          continue;
        }
      }
      next = std::min(next, watched->next);
    }
    co_await changed_.wait_for(std::chrono::duration_cast<Millis>(next - now));
  }
}

Task<> HealthChecks::check(std::shared_ptr<Watched> watched) {
  const auto servers = watched->servers;  // a reload may replace them meanwhile
  auto& server = *watched->server;
  std::string problem;
  try {
    co_await knock(*watched);
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

Task<> HealthChecks::knock(const Watched& watched) {
  const auto servers = watched.servers;
  const auto server = watched.server;
  if (!server->limit->try_acquire()) co_return;
  ConnectionLimit::Permit permit(server->limit);
  auto connection = co_await connect_to(loop_, servers, server, std::nullopt,
                                        servers->config().health_check->timeout, Millis(0));
  connection->permit = std::move(permit);
  servers->succeeded(*server, loop_.now());
  co_await connection->close(kLogoutLimit);
}

}  // namespace imapmux::backend
