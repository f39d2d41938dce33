#include "session/session.h"

#include "base/bytes.h"

namespace imapmux::session {

std::string_view name_of(State state) {
  switch (state) {
    case State::kConnected:
      return "connected";
    case State::kNotAuthenticated:
      return "not authenticated";
    case State::kAuthenticating:
      return "authenticating";
    case State::kAuthenticated:
      return "authenticated";
    case State::kSelected:
      return "selected";
    case State::kRelaying:
      return "relaying";
    case State::kLogout:
      return "logout";
  }
  return "";
}

mailbox::AccountSet Session::account() const {
  return {std::string(backend_name()), base::lower(login_name())};
}

}  // namespace imapmux::session
