// Looks after the servers of the backends that want it (`health_check`): connects as for a client, reads the
// greeting, logs out. Only where nothing else has shown within the interval that a server works, and only
// where max_connections has a place that nobody waits for.
//
// One in the process, on one worker's loop and thread; it must be stopped before it is destroyed.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "async/task_scope.h"
#include "backend/backend_servers.h"
#include "net/event_loop.h"

namespace imapmux::backend {

class HealthChecks {
 public:
  explicit HealthChecks(net::EventLoop& loop);
  // From here on, those of the running configuration, and those that auth_http services name. A server's
  // first check comes after one interval.
  void watch(Backends backends);
  // Ends all checks.
  async::Task<> stop();

 private:
  struct Watched {
    std::weak_ptr<BackendServers> servers;  // gone: nobody uses that server any more
    std::shared_ptr<BackendServers::Server> server;
    base::Instant next;
    bool busy = false;
  };
  using Servers = std::map<const BackendServers::Server*, std::shared_ptr<Watched>>;
  void collect();
  void note(const std::shared_ptr<BackendServers>& servers, Servers& wanted);
  async::Task<> run();
  async::Task<> check(std::shared_ptr<BackendServers> servers, std::shared_ptr<Watched> watched);
  async::Task<> knock(std::shared_ptr<BackendServers> servers,
                      std::shared_ptr<BackendServers::Server> server);

  net::EventLoop& loop_;
  Backends backends_;
  Servers watched_;
  async::WaitList changed_;
  async::TaskScope tasks_;
};

}  // namespace imapmux::backend
