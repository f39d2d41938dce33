// From nothing to a logged-in backend connection: server, place, TCP, TLS, greeting, capabilities, login.
#pragma once

#include <memory>
#include <string>

#include "auth/sasl.h"
#include "backend/backend_connection.h"
#include "backend/origin.h"
#include "net/event_loop.h"

namespace imapmux::backend {

// No server took the connection, or none had a place in time. The text is for the log; clients get less.
class BackendUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Connects to the user's server, or with failover to another one: TLS as configured, greeting read,
// capabilities known, and the server knows `origin` if it is to be told. Throws BackendUnavailable.
// `keepalive`: as for net::connect().
async::Task<std::unique_ptr<BackendConnection>> open_connection(net::EventLoop& loop,
                                                                std::shared_ptr<BackendServers> servers,
                                                                std::string login_name, MaybeOrigin origin,
                                                                base::Millis keepalive);

// The same to this very server, whose place (max_connections) the caller has taken. `limit`: for each of
// connecting, the TLS handshake, and what the server says then. Notes nothing. Throws net::ConnectionLost.
async::Task<std::unique_ptr<BackendConnection>> connect_to(net::EventLoop& loop,
                                                           std::shared_ptr<BackendServers> servers,
                                                           std::shared_ptr<BackendServers::Server> server,
                                                           MaybeOrigin origin, base::Millis limit,
                                                           base::Millis keepalive);

enum class LoginVerdict : uint8_t {
  kAccepted,
  kRefused,  // the backend does not want this identity and secret
  kNoSlot,   // it says that there are too many connections, or that it can't serve now: not a wrong password
};

struct LoginOutcome {
  LoginVerdict verdict = LoginVerdict::kRefused;
  TaggedReply reply;
  std::string challenge;  // of a refused OAuth login: base64 JSON, meant for the client; empty otherwise
};

// Logs in as `login_name` with what the client proved itself with. Capabilities are those after login. Once
// accepted, the connection has stopped parsing: take_rest() for a relay, go_on() for everything else. Throws
// net::ConnectionLost.
async::Task<LoginOutcome> log_in(BackendConnection& connection, const config::Backend& backend,
                                 const auth::Credential& credential, std::string login_name);

// Logs in as `login_name` by the backend's master user. Only for a login name whose own password was verified
// before.
async::Task<LoginOutcome> log_in_as_master(BackendConnection& connection, const config::Backend& backend,
                                           std::string login_name);

// What a refusal means: servers report full connection limits as failed logins. Pure.
LoginVerdict classify_refusal(const TaggedReply& reply);

}  // namespace imapmux::backend
