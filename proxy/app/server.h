// The process: configuration, listening sockets, workers, admin endpoint; reload and shutdown. Made and ended
// on the main thread; who reloads or looks may do so on any.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "admin/admin_server.h"
#include "app/changes.h"
#include "app/listening.h"
#include "app/takeover_heir.h"
#include "app/worker.h"

namespace imapmux::app {

class Server {
 public:
  // Binds everything, but for what `heir` (may be null) has got from another process; throws
  // std::runtime_error with what can't be had. Nothing is accepted before start(). `reload`: for the admin
  // endpoint; outlives the server. None: it can't be asked for there.
  explicit Server(config::ConfigPtr config, admin::Reload reload = {},
                  std::unique_ptr<TakeoverHeir> heir = nullptr);
  // After stop().
  ~Server();

  // Throws std::runtime_error if the other process does not let go; then it goes on.
  void start();
  // Graceful: BYE to all within the configured grace; returns when everything has ended.
  void stop();
  // Takes a new configuration over for all that comes; what was open goes on under the old one. Says what
  // that changes, also in the log. Throws std::runtime_error (and changes nothing) if it can't be used. Any
  // thread.
  Changes reload(config::ConfigPtr config);

  // For another process that takes over, server_handing_on.cc. On the TakeoverDonor's thread.
  // Whether one may; if not, why not. From then on there are no reloads, until take_back().
  std::string begin_handing_on();
  struct Offer {
    struct Socket {
      std::string id;
      base::Endpoint endpoint;
      std::vector<int> descriptors;
    };
    std::vector<Socket> sockets;
    base::Endpoint admin_address;
    int admin = -1;                               // none
    std::map<std::string, std::string> backends;  // Inheritance::description(), by name
  };
  Offer offer();
  // Returns when nobody is accepted any more. Sockets that are not `taken` close. Throws std::runtime_error
  // if the server is ending.
  void stop_accepting(const std::set<std::string>& taken);
  // Backends with max_connections: all their accounts are given up at once.
  std::vector<std::string> limited_backends() const;
  struct Connections {
    std::string backend;
    std::string server;
    uint32_t number = 0;
  };
  // Of those: how many they have now, and have at most from now on.
  std::vector<Connections> cap_connections();
  // `done` is called on any thread when nothing of the accounts is left.
  void give_up(const mailbox::AccountSet& accounts, std::function<void()> done);
  // Gives up all accounts, one after the other, within drain_time().
  void give_up_evenly();
  base::Millis drain_time() const;
  base::Millis time_to_drain() const;  // until this process ends
  uint64_t clients() const { return shared_.counters.clients; }
  // The other process has gone: everything is as before. False: this one is ending itself.
  bool take_back();

  // The port that a listener got ("127.0.0.1:0" in the configuration).
  uint16_t port(const std::string& listener) const;

 private:
  // A listener's sockets; the descriptors are the workers' to close.
  struct Bound {
    net::SocketKind kind = net::SocketKind::kTcp;
    base::Endpoint endpoint;
    std::vector<int> descriptors;
  };
  using Opened = std::vector<std::vector<Entrance>>;  // by worker
  std::vector<base::Endpoint> inherit(Inherited inherited);
  void begin_listening(std::vector<ListeningSockets> sockets);
  void complete_sockets();
  void add_socket(const std::string& id, Bound& bound);
  std::vector<ListeningSockets> open_new(const config::Config& config,
                                         std::vector<base::Endpoint> closing) const;
  void set_theirs(const std::string& backend, const std::string& server, uint32_t number);
  bool is_inheriting() const { return shared_.inheritance && !shared_.inheritance->complete(); }
  Opened distribute(std::vector<ListeningSockets> sockets);
  void forget_sockets(const config::Config& config);
  // server_admin.cc; any thread.
  void open_admin();
  session::Snapshot snapshot(session::Detail detail);
  size_t kick(const session::KickWish& wish);  // how many clients
  size_t drain(const admin::DrainWish& wish);  // how many servers were meant; 1 for the process
  template <class T, class Ask, class Take>
  void ask_workers(Ask ask, Take take);
  session::ServicePtr service() const;
  static base::Instant steady_now();  // on the workers' clock

  const config::ConfigPtr started_with_;
  session::Shared shared_;
  std::map<std::string, Bound> bound_;  // by socket_id(); guarded by reloading_
  mutable std::mutex reloading_;        // one at a time
  mutable std::mutex mutex_;
  session::ServicePtr service_;  // guarded by mutex_
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::atomic<bool> running_{false};
  std::atomic<bool> draining_{false};  // as somebody said at the admin endpoint
  const admin::Reload reload_;
  bool handing_on_ = false;             // guarded by reloading_
  base::Descriptor admin_descriptor_;   // that was let go of, or is inherited; guarded by reloading_
  std::vector<std::string> inherited_;  // sockets
  std::unique_ptr<TakeoverHeir> heir_;  // the last: its thread calls this
};

// Raises RLIMIT_NOFILE to its hard limit: every client takes a descriptor, and its backend connection
// another.
void raise_descriptor_limit();

}  // namespace imapmux::app
