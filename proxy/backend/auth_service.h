// Asks a service that speaks nginx's auth_http protocol who may log in, and where.
//
// One per route and configuration, shared by all workers; thread-safe. Every request has a connection of its
// own, on the loop of the worker whose client logs in, and is the client's session's: it ends with that. So
// nothing blocks, and a session that is cancelled leaves nothing behind.
#pragma once

#include <memory>
#include <stdexcept>

#include "auth/auth_http.h"
#include "backend/backend_servers.h"
#include "net/event_loop.h"
#include "net/tls_context.h"

namespace imapmux::backend {

// It gave no answer that could be used. The text is for the log.
class ServiceUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class AuthService {
 public:
  // Throws std::runtime_error if the authorities of https can't be used.
  explicit AuthService(std::shared_ptr<const config::AuthHttp> settings);

  // `question`: of auth::write_question(). Throws ServiceUnavailable, within the service's timeout.
  static async::Task<auth::ServiceAnswer> ask(net::EventLoop& loop, std::shared_ptr<AuthService> service,
                                              base::Secret question);
  const config::AuthHttp& settings() const { return *settings_; }

 private:
  std::shared_ptr<const config::AuthHttp> settings_;
  std::shared_ptr<const net::ClientTls> tls_;  // null without https
  std::shared_ptr<ConnectionLimit> limit_ = std::make_shared<ConnectionLimit>();
};

}  // namespace imapmux::backend
