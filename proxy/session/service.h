// What sessions find around them: the running configuration with what was made from it, and their worker.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "auth/auth_throttle.h"
#include "auth/sasl.h"
#include "backend/auth_service.h"
#include "backend/backend_connection.h"
#include "backend/backend_servers.h"
#include "config/config.h"
#include "mailbox/account.h"
#include "mailbox/alias_suspects.h"
#include "mailbox/arbiter.h"
#include "mailbox/shared_accounts.h"
#include "mailbox/workplace.h"
#include "net/spool_limits.h"
#include "net/tls_stream.h"
#include "routing/router.h"
#include "session/client_counts.h"
#include "session/inheritance.h"
#include "session/relay_keeper.h"
#include "wire/fetch_items.h"

namespace imapmux::session {

// One configuration, ready for use. Immutable but for the servers' own state; shared by all workers and by
// the sessions that began under it. A reload makes a new one.
struct Service {
  config::ConfigPtr config;
  uint64_t generation = 0;                                                    // how many came before it
  std::map<std::string, std::shared_ptr<const net::ServerTls>> listener_tls;  // by listener name
  backend::Backends backends;                                                 // by name
  std::shared_ptr<backend::KnownServers> known_servers;  // of this one and those before it
  std::map<std::string, std::string> certificates;       // fingerprints, by file
  std::map<const config::AuthHttp*, std::shared_ptr<backend::AuthService>> auth_services;
  bool any_unrestricted = false;

  // Throws std::runtime_error if a certificate or another TLS file can't be used. `previous` may be null.
  static std::shared_ptr<const Service> make(config::ConfigPtr config, const Service* previous);
  // Makes the backends' limits hold; separately, since a reload that fails must change nothing.
  void apply_limits() const;
};
using ServicePtr = std::shared_ptr<const Service>;

// What the whole process counts. Any thread.
struct Counters {
  std::atomic<uint64_t> clients{0};          // connected now
  std::atomic<uint64_t> sessions{0};         // since the start
  std::atomic<uint64_t> clients_refused{0};  // max_clients, max_clients_per_address
  std::atomic<uint64_t> logins{0};
  std::atomic<uint64_t> logins_refused{0};
  std::atomic<uint64_t> logins_unavailable{0};
  std::atomic<uint64_t> in_use{0};  // answers NO [INUSE]
  std::atomic<uint64_t> hand_overs{0};
};

// One of max_clients. Given back when it is destroyed.
class ClientPlace {
 public:
  ClientPlace() = default;
  // Empty if there are `most` already.
  static ClientPlace take(std::atomic<uint64_t>& clients, uint64_t most) {
    ClientPlace place;
    if (clients.fetch_add(1) < most) {
      place.clients_ = &clients;
    } else {
      clients.fetch_sub(1);
    }
    return place;
  }
  ClientPlace(ClientPlace&& other) noexcept : clients_(std::exchange(other.clients_, nullptr)) {}
  ClientPlace& operator=(ClientPlace&& other) noexcept {
    std::swap(clients_, other.clients_);
    return *this;
  }
  ~ClientPlace() {
    if (clients_) clients_->fetch_sub(1);
  }
  explicit operator bool() const { return clients_ != nullptr; }

 private:
  std::atomic<uint64_t>* clients_ = nullptr;
};

// What a client takes of the limits of clients. Its session's; travels with a client that is handed over.
struct ClientPlaces {
  ClientPlace total;
  ClientCounts::Place of_address;  // empty: trusted, or without an address
  ClientCounts::Place of_user;     // once it is logged in
};

// Shared by all workers for the whole run; thread-safe.
struct Shared {
  mailbox::MailboxArbiter arbiter;
  mailbox::AliasSuspects suspects;
  auth::AuthThrottle throttle;
  std::unique_ptr<net::SpoolLimits> spool;   // set before the first session
  std::unique_ptr<Inheritance> inheritance;  // the same; null unless the process takes over from another
  ClientCounts clients_of_address;           // by IpAddress::party()
  ClientCounts clients_of_user;              // by backend and login name
  Counters counters;
  std::atomic<uint64_t> session_ids{0};
  std::atomic<mailbox::HolderId> holder_ids{0};
};

// A client on its way to the worker that owns its account. Owns the descriptor until it is adopted.
struct HandedOver {
  HandedOver() = default;
  HandedOver(const HandedOver&) = delete;
  HandedOver& operator=(const HandedOver&) = delete;
  ~HandedOver();  // closes the descriptor if nobody took it

  uint64_t id = 0;
  int fd = -1;
  net::SocketKind kind = net::SocketKind::kTcp;
  net::PeerFacts peer;  // a PROXY header may have named it
  bool tls = false;
  net::TlsStream::Transfer transfer;
  ServicePtr service;
  ServicePtr greeted_by;
  const config::Listener* listener = nullptr;  // owned by `greeted_by`
  std::string unread;                          // what the client sent behind its login
  std::string tag;                             // of the login that is to be answered
  auth::Credential credential;
  routing::Target target;  // what was decided about it
  std::string user;        // the name that the client gave
  uint32_t attempts = 0;   // to log in
  base::Instant connected_at{};
  uint64_t commands = 0;  // so far, and the octets
  uint64_t received = 0;
  uint64_t sent = 0;
  ClientPlaces places;
};

// What a login takes at a backend: a place of the account, a connection that is logged in. Moved to what
// serves the session after login.
struct Seat {
  mailbox::Account::Slot slot;
  std::unique_ptr<backend::BackendConnection> connection;
  std::string login_name;
  const config::Backend* backend = nullptr;  // owned by `servers`
  std::shared_ptr<backend::BackendServers> servers;
};

// The worker as its sessions see it. On the worker's thread.
class Host : public mailbox::Workplace, public RelayKeeper {
 public:
  mailbox::MailboxArbiter& arbiter() final { return shared().arbiter; }
  mailbox::AliasSuspects& suspects() final { return shared().suspects; }
  mailbox::HolderId next_holder() final { return shared().holder_ids.fetch_add(1) + 1; }

  // What is in force now.
  virtual const ServicePtr& service() const = 0;
  virtual Shared& shared() = 0;
  virtual mailbox::Accounts& accounts() = 0;
  virtual mailbox::SharedAccounts& shared_accounts() = 0;
  virtual size_t index() const = 0;
  virtual size_t workers() const = 0;
  virtual void hand_over(size_t worker, std::unique_ptr<HandedOver> client) = 0;
  // The stream of a client that was handed over; takes its descriptor and TLS session.
  virtual std::unique_ptr<net::Stream> adopt(HandedOver& client) = 0;
  // backend::AuthService::ask(), on the worker's loop.
  virtual async::Task<auth::ServiceAnswer> ask(std::shared_ptr<backend::AuthService> service,
                                               base::Secret question) = 0;
  // Closes a connection whose session was cancelled before it had it; its places are taken until the server
  // has closed.
  virtual void bury(Seat seat) = 0;
  // Another process takes over, and this account is or will soon be its.
  virtual bool has_given_up(std::string_view backend, std::string_view login_name) const = 0;

  wire::FetchItemsMemory fetch_items;

 protected:
  ~Host() = default;
};

}  // namespace imapmux::session
