// The demo server on sockets: listeners, connections, TLS, the latency quirk. What the octets mean is
// LegacySession's business.
//
// LegacyImapd lives on the thread of its loop, and is owned by whoever runs that loop; it goes before the
// loop, and not from inside a task. Its connections belong to it. LegacyImapdThread has a loop and a thread
// of its own, for tests and the command line.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/address.h"
#include "demo/legacy_server.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "net/tls_context.h"

namespace imapmux::demo {

struct ImapdSockets {
  base::Endpoint bind{"127.0.0.1", 0, {}};         // port 0: any free one
  std::shared_ptr<const net::ServerTls> tls = {};  // for STARTTLS (if ServerOptions::starttls) and `tls_bind`
  std::optional<base::Endpoint> tls_bind = {};     // TLS from the start
};

class LegacyImapd final : private async::ReadyNode {
 public:
  // Both throw std::runtime_error if a socket can't be bound, or if TLS is asked for and there is none.
  LegacyImapd(net::EventLoop& loop, ServerOptions options, const ImapdSockets& sockets);
  // With a server that outlives it, and that no other LegacyImapd serves at the same time.
  LegacyImapd(net::EventLoop& loop, LegacyServer& server, const ImapdSockets& sockets);
  // Ends all connections without a word of its own; what was answered already, delayed or not, is sent.
  ~LegacyImapd();
  LegacyImapd(const LegacyImapd&) = delete;
  LegacyImapd& operator=(const LegacyImapd&) = delete;

  uint16_t port() const { return port_; }
  uint16_t tls_port() const { return tls_port_; }  // 0: none
  LegacyServer& server() { return server_; }
  size_t connections() const { return connections_.size(); }

  // Listens no more and says BYE to everybody. `done` is called from the loop, once, when the last connection
  // is gone: behind the delay of latency, and no more than 5 s for a peer that does not read. It may stop the
  // loop, but not destroy this.
  void shut_down(std::function<void()> done = {});

 private:
  class Connection;
  // Where other threads announce changes of the mail; outlives this.
  struct Notifier;

  LegacyImapd(net::EventLoop& loop, std::unique_ptr<LegacyServer> own, LegacyServer* server,
              const ImapdSockets& sockets);
  std::unique_ptr<net::Listener> listen(const base::Endpoint& endpoint, bool tls, uint16_t& port);
  void accept(std::unique_ptr<net::TcpStream> stream, bool tls);
  void reap_soon();
  void run() override;  // destroys the connections that have ended

  net::EventLoop& loop_;
  const std::unique_ptr<LegacyServer> own_server_;  // null: it is somebody else's
  LegacyServer& server_;
  const std::shared_ptr<const net::ServerTls> tls_;
  const std::shared_ptr<Notifier> notifier_;
  uint16_t port_ = 0;
  uint16_t tls_port_ = 0;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<net::Listener> tls_listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::function<void()> when_empty_;
};

// All functions but call() are for the thread that owns it; store() and violations() give what any thread may
// use, while it is stopped as well.
class LegacyImapdThread {
 public:
  // Starts. Throws like LegacyImapd.
  explicit LegacyImapdThread(ServerOptions options, ImapdSockets sockets = {});
  ~LegacyImapdThread();  // stops
  LegacyImapdThread(const LegacyImapdThread&) = delete;
  LegacyImapdThread& operator=(const LegacyImapdThread&) = delete;

  // Again after stop() or vanish(): the same ports, the same mail. Throws like LegacyImapd.
  void start();
  void stop();    // BYE to everybody; returns when the thread has ended
  void vanish();  // without a BYE, as if the server had been killed
  bool running() const { return thread_.joinable(); }

  uint16_t port() const { return sockets_.bind.port; }
  uint16_t tls_port() const { return sockets_.tls_bind ? sockets_.tls_bind->port : 0; }
  MailStore& store() { return server_.store(); }
  Violations& violations() { return server_.violations(); }
  // Runs `work` on the server's thread and waits for it; what it throws goes on here. Only while it runs, and
  // not from that thread.
  void call(const std::function<void(LegacyImapd&)>& work);

 private:
  void join();

  LegacyServer server_;
  ImapdSockets sockets_;  // with the ports as they are once it has started
  std::unique_ptr<net::EventLoop> loop_;
  std::unique_ptr<LegacyImapd> imapd_;
  std::thread thread_;
};

}  // namespace imapmux::demo
