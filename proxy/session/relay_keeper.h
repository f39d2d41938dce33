// Who owns the relays of one worker: the worker. On its thread.
#pragma once

#include <memory>

namespace imapmux::session {

class Relay;

class RelayKeeper {
 public:
  // From here on it is one of the worker's sessions.
  virtual void keep(std::unique_ptr<Relay> relay) = 0;
  // It has ended: Relay::finish() is to be run, by a task, and then it is to be destroyed. Told once.
  virtual void relay_ended(Relay& relay) = 0;

 protected:
  ~RelayKeeper() = default;
};

}  // namespace imapmux::session
