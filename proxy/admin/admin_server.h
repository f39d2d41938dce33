// The admin endpoint: HTTP on threads of its own, away from the workers. Owned by the server; lives from
// start to shutdown.
//
//   /healthz, /readyz     for everybody
//   /metrics              for everybody, or with metrics_token
//   /                     the dashboard's page, in which there is nothing secret: what it shows it asks for
//   /api/v1/status        with the token, if there is one; ?most=N: so many sessions, accounts and leases
//   POST /api/v1/{kick,drain,undrain,reload}   the same, and JSON (access.h says why)
#pragma once

#include <memory>

#include "admin/sources.h"
#include "base/address.h"
#include "base/descriptor.h"

namespace imapmux::admin {

class AdminServer {
 public:
  // Listens at once. Throws std::runtime_error. `inherited`: a socket that listens there already, of a
  // process that this one takes over from.
  AdminServer(const base::Endpoint& bind, Sources sources, base::Descriptor inherited = {});
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;
  int descriptor() const;
  // Another process listens there from now on, or this one again with what it gets.
  base::Descriptor let_go();
  uint16_t port() const;  // 0 for a unix socket
  // Threads with slow requests of an endpoint that has ended are still there: whatever the process destroys
  // at its end, they may use.
  static bool requests_left();

 private:
  struct Http;

  std::shared_ptr<Http> http_;
  bool let_go_ = false;
};

}  // namespace imapmux::admin
