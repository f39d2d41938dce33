// The servers of one backend: which one a user goes to, which ones are down, how many connections each has.
//
// One per backend and configuration, shared by all workers; thread-safe. A reload makes a new one with the
// same servers (KnownServers). Lives as long as a connection or session refers to it.
#pragma once

#include <atomic>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/answer_time.h"
#include "backend/displaced_users.h"
#include "backend/server_health.h"
#include "backend/users_there.h"
#include "config/config.h"
#include "net/tls_context.h"

namespace imapmux::backend {

// Counts the connections to one server, all users and workers together (max_connections). Waiters are served
// in the order they came. Thread-safe.
class ConnectionLimit {
 public:
  // One connection's place; given back when it is destroyed.
  class Permit {
   public:
    Permit() = default;
    explicit Permit(std::shared_ptr<ConnectionLimit> of) : of_(std::move(of)) {}
    Permit(Permit&&) = default;
    Permit& operator=(Permit&& other) noexcept {
      std::swap(of_, other.of_);
      return *this;
    }
    ~Permit() {
      if (of_) of_->release();
    }

   private:
    std::shared_ptr<ConnectionLimit> of_;
  };
  // Who waits. `granted` is called once, from any thread, without a lock held, and must hand over to its own
  // thread.
  struct Waiter {
    std::function<void()> granted;
    bool has_place = false;  // guarded by the limit's mutex
  };

  // 0 = no limit. Lowering it does not close anything.
  void set_most(uint32_t most);
  // True: the place is taken (wrap it in a Permit). False: `waiter` waits; withdraw() when it gives up.
  bool acquire(const std::shared_ptr<Waiter>& waiter);
  // The same for who does not wait.
  bool try_acquire();
  // Gives up waiting, or gives back the place if it was granted meanwhile.
  void withdraw(const std::shared_ptr<Waiter>& waiter);
  void release();
  uint32_t in_use() const;
  uint32_t waiting() const;
  // While another process takes over from this one: not more than there are now from here on; how many that
  // is. What is closed is not replaced. Until lift_cap().
  uint32_t cap();
  void lift_cap();
  // While this process takes over from another one: so many of the connections are that one's.
  void set_theirs(uint32_t theirs);

  // `wanted` is called when somebody begins to wait: from any thread, no lock held, and not after
  // unsubscribe() has returned.
  void subscribe(const void* who, std::function<void()> wanted);
  void unsubscribe(const void* who);
  // More wait than connections are being closed for. Cheap.
  bool wants_room() const {
    return waiting_now_.load(std::memory_order_relaxed) > coming_.load(std::memory_order_relaxed);
  }
  // A connection is being closed for who waits, until what is returned is destroyed.
  static std::shared_ptr<void> make_room(std::shared_ptr<ConnectionLimit> limit);
  bool has_room() const;
  // There is a limit, and others have connections.
  bool is_shared() const;

 private:
  static constexpr uint32_t kNoCap = std::numeric_limits<uint32_t>::max();
  using Waiters = std::list<std::shared_ptr<Waiter>>;
  bool is_free() const { return used_ < cap_ && (most_ == 0 || used_ + theirs_ < most_); }
  bool take_free();
  // Gives free places to waiters, who are told when the mutex is free.
  Waiters grant();

  mutable std::mutex mutex_;
  uint32_t most_ = 0;
  uint32_t used_ = 0;
  uint32_t cap_ = kNoCap;
  uint32_t theirs_ = 0;
  Waiters waiters_;
  std::atomic<uint32_t> waiting_now_{0};  // their number
  std::atomic<uint32_t> coming_{0};
  std::mutex subscribers_mutex_;
  std::map<const void*, std::function<void()>> subscribers_;
};

class KnownServers;

class BackendServers {
 public:
  struct Server {
    base::Endpoint endpoint;
    std::shared_ptr<ConnectionLimit> limit = std::make_shared<ConnectionLimit>();
    ServerHealth health;
    std::atomic<uint64_t> connects{0};
    std::atomic<uint64_t> failures{0};    // to connect
    std::atomic<uint64_t> attempts{0};    // for choosing source addresses in turn
    std::atomic<uint64_t> times_down{0};  // found by health checks
    AnswerTime connect_time;              // until the server has said what it can
    AnswerTime answer_time;               // from a command to the first octet of its answer
    // To be emptied, as somebody said at the admin endpoint: no new users go there, and those who have
    // connections stay. Lasts until it is taken back, also over reloads.
    std::atomic<bool> draining{false};
    std::shared_ptr<UsersThere> users = std::make_shared<UsersThere>();
  };

  // `config` owns `backend`. Throws std::runtime_error if a TLS file can't be used.
  static std::shared_ptr<BackendServers> make(config::ConfigPtr config, const config::Backend& backend,
                                              std::shared_ptr<KnownServers> known);

  // Makes max_connections and health_check: off hold; separately, since a reload that fails must change
  // nothing.
  void apply_limits() const;

  const config::Backend& config() const { return *backend_; }
  // What accounts are kept by: the backend's name, of at() with the server behind it. (Mailboxes are the same
  // whichever server they are reached by: leases go by the backend's name alone.)
  const std::string& name() const { return name_; }
  // This backend with another server in place of its own, as an auth_http service said: the same settings,
  // but a limit and health of that server. For the same server the same object, as long as anybody uses it,
  // also over reloads; one that nobody uses is kept for a while, or until it is drained no more. Null: too
  // many are in use.
  std::shared_ptr<BackendServers> at(const base::Endpoint& server, base::Instant now) const;
  // After a reload: those that at() of the configuration before had made, in these settings.
  void inherit(const BackendServers& before);
  // The server is the only one that it has.
  bool has_only(const base::Endpoint& server) const;
  // All that at() has made and that are still kept.
  std::vector<std::shared_ptr<BackendServers>> elsewhere() const;
  // Its own servers, then those of elsewhere(), each once.
  std::vector<std::shared_ptr<Server>> all_servers() const;
  const net::ClientTls* tls() const { return tls_.get(); }  // null with tls: none
  const std::vector<std::shared_ptr<Server>>& servers() const { return servers_; }

  // The servers for a user in the order to try: his own, then (with failover) the others; first those that
  // are up, then those that are passed over, then those that are down; without those that are drained, unless
  // he is there. None if that leaves none, or if all are down.
  std::vector<std::shared_ptr<Server>> candidates(const std::string& login_name, base::Instant now) const;
  // The same for a connection that is opened now. Who went to another server because his own was down goes
  // back when that is up, he has no connection left, and it is his turn: one user a second and server. Until
  // then he stays where he is: a user's connections are all to one server.
  std::vector<std::shared_ptr<Server>> choose(const std::string& login_name, base::Instant now) const;
  // He is logged in there now.
  void settled(const std::string& login_name, const Server& server) const;
  // He is not where he belongs, though he has nobody there who needs him (who asks has to know).
  bool is_displaced(const std::string& login_name) const;
  // True: it is his turn to go back, as soon as he has no connection any more.
  bool bring_back(const std::string& login_name, base::Instant now) const;
  // Whether one of them takes a connection without making somebody else wait.
  bool has_room(const std::string& login_name, base::Instant now) const;
  // Notes the outcome of connecting to a server, for a client or to check it. The only place where a server's
  // state changes, which is logged.
  void failed(Server& server, base::Instant now, std::string_view reason) const;
  void succeeded(Server& server, base::Instant now) const;

 private:
  struct Elsewhere {
    std::shared_ptr<BackendServers> servers;
    base::Instant asked_for;
  };
  std::shared_ptr<BackendServers> make_elsewhere(std::shared_ptr<Server> server) const;
  void forget_unused(base::Instant now) const;
  // His own first.
  std::vector<std::shared_ptr<Server>> preference_of(std::string_view login_name) const;
  // Where he has connections, or was last; null: nobody knows of any.
  const Server* current(const std::string& login_name,
                        const std::vector<std::shared_ptr<Server>>& preference) const;

  config::ConfigPtr owner_;
  const config::Backend* backend_ = nullptr;
  std::string name_;
  std::shared_ptr<const net::ClientTls> tls_;
  std::vector<std::shared_ptr<Server>> servers_;
  std::shared_ptr<KnownServers> known_;
  std::shared_ptr<DisplacedUsers> displaced_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Elsewhere> elsewhere_;  // by server; guarded by mutex_
};

// The servers that anything in the process still refers to: a reload finds them again, with their counts and
// their health, also when their backend was gone meanwhile. One for all configurations; thread-safe.
class KnownServers {
 public:
  std::shared_ptr<BackendServers::Server> get(const std::string& backend, const base::Endpoint& endpoint);
  std::shared_ptr<DisplacedUsers> displaced(const std::string& backend);

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::weak_ptr<BackendServers::Server>> servers_;
  std::map<std::string, std::shared_ptr<DisplacedUsers>> displaced_;
};

using Backends = std::map<std::string, std::shared_ptr<BackendServers>>;  // by name

// What has taken the place of `servers` after a reload; null if its backend is gone.
std::shared_ptr<BackendServers> successor(const Backends& backends, const BackendServers& servers,
                                          base::Instant now);

}  // namespace imapmux::backend
