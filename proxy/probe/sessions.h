// The two sessions that questions are asked with, A and B, opened (again) as they are needed, and the limit
// that the server sets to their number.
//
// One per probe. Sessions that it hands out live until they are lost and asked for again, or closed here.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "probe/door.h"

namespace imapmux::probe {

enum class Who : uint8_t { kA, kB };

class Sessions {
 public:
  Sessions(Door& door, std::string user) : door_(door), user_(std::move(user)) {}

  // The first one: what became of it is all the caller's, but for the session, which stays here.
  async::Task<Opening> begin();
  // One more, kept open: B, then others.
  async::Task<Opening> open_more();
  // All but A and B.
  async::Task<> close_others();
  // In no mailbox, and answering: opened again if need be. Null if there is none to be had; why_none() says
  // why.
  async::Task<Session*> ready(Who who);
  const std::string& why_none() const { return why_none_; }
  async::Task<> close(Who who);
  async::Task<> close_all();
  // The one that is open and usable as it is, else one newly opened, else null: for cleaning up.
  async::Task<Session*> any();

 private:
  async::Task<std::unique_ptr<Session>> open_patiently(std::string name);
  std::unique_ptr<Session>& at(Who who) { return sessions_[static_cast<size_t>(who)]; }

  Door& door_;
  const std::string user_;
  std::array<std::unique_ptr<Session>, 2> sessions_;
  std::vector<std::unique_ptr<Session>> others_;
  std::string why_none_;
};

}  // namespace imapmux::probe
