// The process: configuration, listening sockets, workers, admin endpoint; reload and shutdown. Made and used
// on the main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "admin/admin_server.h"
#include "app/worker.h"

namespace imapmux::app {

class Server {
 public:
  // Binds everything; throws std::runtime_error with what can't be had. Nothing is accepted before start().
  // `reload`: for the admin endpoint; outlives the server. None: it can't be asked for there.
  explicit Server(config::ConfigPtr config, admin::Reload reload = {});
  // After stop().
  ~Server();

  void start();
  // Graceful: BYE to all within the configured grace; returns when everything has ended.
  void stop();
  // Takes a new configuration over for all that comes; what was open goes on under the old one. Throws
  // std::runtime_error (and changes nothing) if it can't be used.
  void reload(config::ConfigPtr config);

  // The port that a listener got ("127.0.0.1:0" in the configuration).
  uint16_t port(const std::string& listener) const;

 private:
  struct Bound {
    std::string listener;
    uint16_t port;
  };
  void bind(const config::Listener& listener);
  // server_admin.cc; any thread.
  void open_admin(const config::Config& config, admin::Reload reload);
  session::Snapshot snapshot(session::Detail detail);
  size_t kick(const session::KickWish& wish);  // how many clients
  size_t drain(const admin::DrainWish& wish);  // how many servers were meant; 1 for the process
  template <class T, class Ask, class Take>
  void ask_workers(Ask ask, Take take);
  session::ServicePtr service() const;

  session::Shared shared_;
  std::vector<Bound> bound_;
  mutable std::mutex mutex_;
  session::ServicePtr service_;  // guarded by mutex_
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::atomic<bool> running_{false};
  std::atomic<bool> draining_{false};  // as somebody said at the admin endpoint
};

// Raises RLIMIT_NOFILE to its hard limit: every client takes a descriptor, and its backend connection
// another.
void raise_descriptor_limit();

}  // namespace imapmux::app
