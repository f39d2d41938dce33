// ExclusiveSession: coming back when the backend went away and nothing was open on it. The client's password
// is wiped after its login, so only the backend's master user can log in again.
#include "backend/open.h"
#include "base/log.h"
#include "session/exclusive_session.h"

namespace imapmux::session {

using async::Task;

// With a mailbox open, or a command under way, the client has to be told.
bool ExclusiveSession::can_come_back() const {
  return !seat_.backend->master_user.empty() && !selected_ && current_tag_.empty() && in_flight_.empty();
}

Task<bool> ExclusiveSession::come_back() {
  std::string problem;
  try {
    seat_.connection.reset();  // its place goes back first
    seat_.connection = co_await client_.host().connect(seat_.servers, seat_.login_name);
    auto outcome = co_await backend::log_in_as_master(*seat_.connection, *seat_.backend, seat_.login_name);
    if (outcome.verdict != backend::LoginVerdict::kAccepted) problem = "refused: " + outcome.reply.text;
  } catch (const backend::BackendUnavailable& error) {
    problem = error.what();
  } catch (const net::ConnectionLost& lost) {
    problem = lost.what();
  }
  if (!problem.empty()) {
    base::log::warn("session {}: backend {} is not back: {}", client_.label(), seat_.backend->name, problem);
    co_return false;
  }
  base::log::info("session {}: connected to backend {} again", client_.label(), seat_.backend->name);
  away_ = false;
  connection().set_observer(this);
  connection().go_on();
  co_return true;
}

}  // namespace imapmux::session
