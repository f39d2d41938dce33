// httplib's server within bounds: how long a client may take for a request, how large that may be, how many
// there are at a time. Strangers get as far as this, and it shares the process's memory with the mail.
//
// Owned by the AdminServer. A thread for each connection, which is never waited for: a client that is slow to
// say what it wants must keep neither a health check nor the end of the program waiting. So it outlives them:
// see AdminServer.
#pragma once

#include <httplib.h>

#include <condition_variable>
#include <memory>
#include <mutex>

#include "base/descriptor.h"

namespace imapmux::admin {

class HttpServer final : public httplib::Server {
 public:
  static constexpr size_t kLargestBody = 64 * 1024;

  HttpServer();
  // A socket that listens.
  void adopt(int fd) { svr_sock_ = fd; }
  int descriptor() const { return svr_sock_; }
  // httplib opens its socket by itself, and shuts it down at its end, also for another process that shares
  // it. In its place comes one that nobody can come to, so that requests under way are answered.
  base::Descriptor let_go();
  // Nobody is accepted any more, even where that waits for the end of others.
  void end();
  // Whether all connections have ended by then.
  bool wait_for_connections(std::chrono::milliseconds limit) const;

 private:
  class Connections;  // counts them
  class Threads;
  bool process_and_close_socket(socket_t sock) override;

  const std::shared_ptr<Connections> connections_;
};

}  // namespace imapmux::admin
