// What accounts and sessions find around them on their worker's thread: its clock and ready list, its way to
// the backends, and what the whole process has only once. Outlives them; the worker is one, a simulation with
// a virtual clock and memory streams another. Everything but post() is for its own thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/open.h"
#include "mailbox/alias_suspects.h"
#include "mailbox/arbiter.h"

namespace imapmux::mailbox {

class Workplace {
 public:
  virtual async::Scheduler& scheduler() = 0;
  // Runs `work` on the workplace's thread, soon. Any thread, for as long as the process-wide arbiter may call
  // back.
  virtual void post(std::function<void()> work) = 0;
  // The buffers that octets are read into: they may hold a password.
  virtual void wipe_buffers() = 0;
  // Connects to the user's server (backend::open_connection). Throws backend::BackendUnavailable.
  virtual async::Task<std::unique_ptr<backend::BackendConnection>> connect(
      std::shared_ptr<backend::BackendServers> servers, std::string login_name,
      backend::MaybeOrigin origin) = 0;
  virtual MailboxArbiter& arbiter() = 0;
  virtual AliasSuspects& suspects() = 0;
  // For the arbiter: the name of one more backend connection.
  virtual HolderId next_holder() = 0;

 protected:
  ~Workplace() = default;
};

}  // namespace imapmux::mailbox
