// The servers of one backend: which one a user goes to, which ones are down, how many connections each has.
//
// One per backend and configuration, shared by all workers; thread-safe. A reload makes a new one that
// carries the servers' state over. Lives as long as a connection or session refers to it.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

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
  // Gives up waiting, or gives back the place if it was granted meanwhile.
  void withdraw(const std::shared_ptr<Waiter>& waiter);
  void release();
  uint32_t in_use() const;
  uint32_t waiting() const;

 private:
  using Waiters = std::list<std::shared_ptr<Waiter>>;
  // Gives free places to waiters, who are told when the mutex is free.
  Waiters grant();

  mutable std::mutex mutex_;
  uint32_t most_ = 0;
  uint32_t used_ = 0;
  Waiters waiters_;
};

class BackendServers {
 public:
  struct Server {
    base::Endpoint endpoint;
    std::shared_ptr<ConnectionLimit> limit = std::make_shared<ConnectionLimit>();
    std::atomic<int64_t> down_until{0};  // milliseconds of the monotonic clock; 0 = up
    std::atomic<uint32_t> failures{0};   // in a row
    std::atomic<uint64_t> connects{0};
    std::atomic<uint64_t> attempts{0};  // to connect
  };

  // `config` owns `backend`. Throws std::runtime_error if a TLS file can't be used. `previous` may be null.
  static std::shared_ptr<BackendServers> make(config::ConfigPtr config, const config::Backend& backend,
                                              const BackendServers* previous);

  // Makes max_connections hold; separately, since a reload that fails must change nothing.
  void apply_limits() const;

  const config::Backend& config() const { return *backend_; }
  const net::ClientTls* tls() const { return tls_.get(); }  // null with tls: none
  const std::vector<std::shared_ptr<Server>>& servers() const { return servers_; }

  // The servers for a user in the order to try: his own, then (with failover) the others, those that are down
  // last.
  std::vector<std::shared_ptr<Server>> candidates(std::string_view login_name, base::Instant now) const;
  // Notes the outcome of connecting. A failed server is passed over for 1 s, doubling to 30 s, while others
  // are up.
  static void failed(Server& server, base::Instant now);
  static void succeeded(Server& server);
  static bool is_down(const Server& server, base::Instant now);

 private:
  config::ConfigPtr owner_;
  const config::Backend* backend_ = nullptr;
  std::shared_ptr<const net::ClientTls> tls_;
  std::vector<std::shared_ptr<Server>> servers_;
};

}  // namespace imapmux::backend
