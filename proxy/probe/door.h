// The way into the server: one more session, or why not.
//
// One per probe, for its whole life; it holds the password.
#pragma once

#include <memory>
#include <string>

#include "net/event_loop.h"
#include "probe/options.h"
#include "probe/session.h"

namespace imapmux::probe {

struct Opening {
  enum class Verdict : uint8_t {
    kOpen,
    kUnreachable,  // no connection, no TLS, no greeting
    kTurnedAway,   // BYE, or closed without a greeting
    kCutAtLogin,   // the connection ended instead of an answer to the login
    kNoSlot,       // the login is refused, and the reason given is that there are too many
    kRefused,      // the login is refused
  };
  Verdict verdict = Verdict::kUnreachable;
  std::string text;  // what the server said, or our words
  std::unique_ptr<Session> session;
  backend::Capabilities before;  // the login
};

class Door {
 public:
  // Throws std::runtime_error if a TLS file can't be used.
  Door(net::EventLoop& loop, Transcript& transcript, const Options& options, base::Secret password);

  // Connects and logs in as `user`. `name` is the session's in the transcript.
  async::Task<Opening> open(std::string name, std::string user);

  const config::Backend& backend() const { return servers_->config(); }

 private:
  // `opening` is told why there is none.
  async::Task<std::unique_ptr<backend::BackendConnection>> connect(Opening& opening);

  net::EventLoop& loop_;
  Transcript& transcript_;
  auth::Credential credential_;
  std::shared_ptr<backend::BackendServers> servers_;
};

}  // namespace imapmux::probe
