// One mail client as its worker sees it, whatever serves it: a ClientSession until it has logged in and where
// the proxy takes part in the conversation, a Relay afterwards where it does not. In its worker's list for as
// long as anything of it is left, also its backend connection; on that worker's thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/intrusive_list.h"
#include "base/time.h"
#include "mailbox/account_set.h"

namespace imapmux::session {

enum class State : uint8_t {
  kConnected,         // TLS handshake, greeting
  kNotAuthenticated,  // RFC 3501, 3.1
  kAuthenticating,    // a login is being decided
  kAuthenticated,     // 3.2
  kSelected,          // 3.3
  kRelaying,          // unrestricted: the backend's business
  kLogout,            // 3.4
};
constexpr size_t kStates = 7;
std::string_view name_of(State state);

// What `imapmux status` shows of a session.
struct SessionStatus {
  uint64_t id = 0;
  std::string client;
  std::string listener;
  bool tls = false;
  std::string_view state;
  std::string user;
  std::string backend;
  std::string login_name;  // at the backend: whose account it is
  std::string server;
  std::string mailbox;      // selected, empty if none
  std::string waiting_for;  // a lease or a slot, empty if nothing
  uint64_t commands = 0;
  base::Millis connected{};
  base::Millis idle{};  // since the client said or took in something
};

// What the proxy says of its own accord to who has to go.
constexpr std::string_view kByeShutdown = "[UNAVAILABLE] The proxy is shutting down";
constexpr std::string_view kByeServerGone = "[UNAVAILABLE] The mail server has gone";
constexpr std::string_view kByeIdle = "Idle for too long";
constexpr std::string_view kByeKicked = "Disconnected by the administrator";

class Session : public base::ListNode {
 public:
  // Graceful end: the command at hand is finished, then BYE.
  virtual void shut_down() = 0;
  virtual bool stopping() const = 0;
  // At once: BYE, whatever is going on.
  virtual void cut_off() = 0;
  // The same, since the administrator wants it gone.
  virtual void kick() = 0;

  // Whether it uses, or is about to use, what belongs to an account; and which one that is.
  virtual bool has_account() const = 0;
  mailbox::AccountSet account() const;

  virtual uint64_t id() const = 0;
  virtual State state() const = 0;
  virtual std::string_view user() const = 0;        // as the client calls itself
  virtual std::string_view login_name() const = 0;  // at the backend
  virtual std::string_view backend_name() const = 0;
  virtual std::string server_name() const = 0;
  virtual bool waits() const = 0;  // for a lease or a slot
  virtual base::Instant last_heard() const = 0;
  virtual SessionStatus status() const = 0;

 protected:
  ~Session() = default;
};

}  // namespace imapmux::session
