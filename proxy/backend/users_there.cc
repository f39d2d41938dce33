#include "backend/users_there.h"

#include "base/bytes.h"

namespace imapmux::backend {

UsersThere::Stay UsersThere::enter(const std::shared_ptr<UsersThere>& there, std::string login_name) {
  login_name = base::lower(login_name);
  {
    const std::lock_guard lock(there->mutex_);
    ++there->connections_[login_name];
  }
  return {there.get(), [there, login_name = std::move(login_name)](void*) { there->leave(login_name); }};
}

bool UsersThere::has(std::string_view login_name) const {
  const std::lock_guard lock(mutex_);
  return connections_.contains(base::lower(login_name));
}

void UsersThere::leave(const std::string& login_name) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(login_name);
  if (--found->second == 0) connections_.erase(found);
}

}  // namespace imapmux::backend
