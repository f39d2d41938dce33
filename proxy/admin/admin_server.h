// The admin endpoint: HTTP on a thread of its own, away from the workers. Serves /healthz, /readyz and
// /api/v1/status. Owned by the server; lives from start to shutdown.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "session/snapshot.h"

namespace imapmux::admin {

class AdminServer {
 public:
  // Called on the endpoint's threads.
  struct Sources {
    std::function<session::Snapshot()> status;
    std::function<bool()> ready;
    std::function<base::Secret()> token;  // empty: the status is for everybody
  };

  // Listens at once. Throws std::runtime_error. With a token, the status needs "Authorization: Bearer TOKEN".
  AdminServer(const base::Endpoint& bind, Sources sources);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;
  uint16_t port() const;  // 0 for a unix socket
  // Threads with slow requests of an endpoint that has ended are still there: whatever the process destroys
  // at its end, they may use.
  static bool requests_left();

 private:
  struct Http;
  std::shared_ptr<Http> http_;
};

// What `imapmux status` and `imapmux health` ask a running process.
struct AdminAnswer {
  int status = 0;  // of HTTP; 0: nobody answered
  std::string body;
};
AdminAnswer ask_admin(const base::Endpoint& admin, const std::string& path, const std::string& token);

}  // namespace imapmux::admin
