#include "backend/users_there.h"

#include "base/bytes.h"

namespace imapmux::backend {

UsersThere::Stay UsersThere::enter(const std::shared_ptr<UsersThere>& there, std::string_view login_name) {
  const std::lock_guard lock(there->mutex_);
  auto& entry = *there->connections_.try_emplace(base::lower(login_name)).first;
  ++entry.second;
  return {there, entry};
}

UsersThere::Stay UsersThere::Stay::another() const {
  if (!there_) return {};
  const std::lock_guard lock(there_->mutex_);
  ++entry_->second;
  return {there_, *entry_};
}

bool UsersThere::has(std::string_view login_name) const {
  const std::lock_guard lock(mutex_);
  return connections_.contains(base::lower(login_name));
}

void UsersThere::leave(const Entry& entry) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(entry.first);
  if (--found->second == 0) connections_.erase(found);
}

}  // namespace imapmux::backend
