#include "backend/displaced_users.h"

namespace imapmux::backend {

void DisplacedUsers::went_away(const std::string& login_name, std::string server) {
  const std::lock_guard lock(mutex_);
  const auto known = servers_.find(login_name);
  if (known != servers_.end()) {
    known->second = std::move(server);
  } else if (servers_.size() < kMostUsers) {
    servers_.emplace(login_name, std::move(server));
  }
}

void DisplacedUsers::is_home(const std::string& login_name) {
  const std::lock_guard lock(mutex_);
  servers_.erase(login_name);
}

std::optional<std::string> DisplacedUsers::whereabouts(const std::string& login_name) const {
  const std::lock_guard lock(mutex_);
  const auto known = servers_.find(login_name);
  return known == servers_.end() ? std::nullopt : std::optional(known->second);
}

bool DisplacedUsers::bring_back(const std::string& login_name, const std::string& home, base::Instant now) {
  const std::lock_guard lock(mutex_);
  auto& next = next_return_[home];
  if (now < next || servers_.erase(login_name) == 0) return false;
  next = now + kBetweenReturns;
  return true;
}

}  // namespace imapmux::backend
