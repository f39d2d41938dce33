// What the admin endpoint asks of the process. Called on the endpoint's threads.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "session/snapshot.h"

namespace imapmux::admin {

// What came of reading the configuration again, as the log has it.
struct ReloadOutcome {
  bool in_force = false;
  std::vector<std::string> said;
};
// Nothing: the process is ending. Must work for as long as the process lives.
using Reload = std::function<std::optional<ReloadOutcome>()>;

struct DrainWish {
  bool on = true;
  std::string backend;  // empty: the whole process
  std::string server;   // empty: all of the backend's
};

// All but `reload` is called by one thread at a time, and not after the endpoint has gone.
enum class Readiness : uint8_t {
  kReady,
  kDrained,  // as an administrator said: it serves who is there and who comes all the same
  kNotReady,
};

struct Sources {
  std::function<session::Snapshot(session::Detail)> status;
  std::function<Readiness()> readiness;
  std::function<base::Secret()> token;                   // empty: none
  std::function<base::Secret()> metrics_token;           // empty: none
  std::function<size_t(const session::KickWish&)> kick;  // how many clients
  std::function<size_t(const DrainWish&)> drain;  // how many servers, 1 for the process; 0: there are none
  Reload reload;                                  // may be empty
};

}  // namespace imapmux::admin
