// The legacy server at the far end of memory links: demo::LegacyServer, whose sessions get octets as they
// come and may be punished by one another. One per run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "demo/legacy_server.h"
#include "simulation/network.h"
#include "simulation/rules.h"

namespace imapmux::simulation {

class LegacyBackend {
 public:
  LegacyBackend(World& world, Network& network, demo::ServerOptions options, const Rules& rules);
  ~LegacyBackend();

  // A connection of the proxy for this user. Its link has the stream. More than there may be are a failure.
  std::shared_ptr<Link> accept(const std::string& user);
  // The mail has changed: sessions in IDLE tell it some time later.
  void notify_soon();
  // Cuts a connection of the user's, as a crash would, somewhere in what it says. False: there is none.
  bool cut_one(const std::string& user);
  // One answers no more, though it looks open: its machine was switched off.
  bool hush_one(const std::string& user);
  // All connections end, and none is accepted for so long.
  enum class Farewell : uint8_t { kNone, kBye };
  void restart(base::Millis down, Farewell farewell);
  bool accepts() const { return world_.scheduler.now() >= down_until_; }
  // From the main loop only: frees connections that have ended.
  void sweep();

  demo::LegacyServer& server() { return server_; }
  size_t connections() const { return connections_.size(); }

 private:
  class Connection;
  void check_limits(const std::string& user) const;
  Connection* any_of(const std::string& user);

  World& world_;
  const Rules& rules_;
  Network& network_;
  demo::LegacyServer server_;
  async::Timer tick_;
  uint64_t accepted_ = 0;
  base::Instant down_until_{};
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace imapmux::simulation
