// The listening sockets of one worker, each with the settings that hold for it now. Owned by its worker, on
// its thread. Nobody who has come as far as a socket's queue is reset when it closes.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/task_scope.h"
#include "base/descriptor.h"
#include "net/event_loop.h"
#include "net/listener.h"
#include "session/service.h"

namespace imapmux::app {

// A worker's part of ListeningSockets.
struct Entrance {
  std::string id;
  net::SocketKind kind = net::SocketKind::kTcp;
  base::Descriptor descriptor;
};

class Entrances {
 public:
  // `listener` is of `service`.
  using Accept = std::function<void(const session::ServicePtr& service, const config::Listener& listener,
                                    std::unique_ptr<net::TcpStream> stream)>;
  Entrances(net::EventLoop& loop, Accept accept);
  ~Entrances();
  Entrances(const Entrances&) = delete;
  Entrances& operator=(const Entrances&) = delete;

  // Begins to accept. `service` has a listener for it. Throws std::runtime_error.
  void open(Entrance entrance, const session::ServicePtr& service);
  // From here on the settings of `service` hold. Where it has no listener for a socket, that closes when all
  // are in who were on their way; they are served as before.
  void use(const session::ServicePtr& service);
  // Another process accepts from the `taken` ones: nothing is accepted there until go_on(). The others close.
  void hold(const std::set<std::string>& taken);
  void go_on();
  // Accepts all who wait for this process, and closes.
  void close();
  // Those that are closing close now. Ends before the entrances are destroyed.
  async::Task<> finish();

 private:
  struct Door {
    std::string id;
    session::ServicePtr service;
    const config::Listener* listener = nullptr;  // owned by `service`
    std::unique_ptr<net::Listener> socket;
  };
  async::Task<> close_slowly(std::unique_ptr<Door> door);

  net::EventLoop& loop_;
  Accept accept_;
  std::vector<std::unique_ptr<Door>> doors_;
  bool held_ = false;
  bool finishing_ = false;
  async::WaitList finish_;
  async::TaskScope closing_;
};

}  // namespace imapmux::app
