// Takes the untagged responses of an inner command, which the client must not see. On the frame of whoever
// runs it.
#pragma once

#include <string>
#include <vector>

#include "session/exclusive_session.h"

namespace imapmux::session {

class ExclusiveSession::Capture {
 public:
  // kSearchOnly: SEARCH results are taken, all else goes to the client. kEverything: nothing goes to the
  // client.
  enum class What : uint8_t { kSearchOnly, kListOnly, kEverything };
  explicit Capture(What what) : what_(what) {}

  bool wants(const wire::Response& response) const;
  void take(const wire::Response& response);

  std::vector<uint32_t> found;  // of SEARCH
  char delimiter = 0;           // of LIST
  uint32_t exists = 0;

 private:
  What what_;
};

}  // namespace imapmux::session
