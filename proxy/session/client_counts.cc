#include "session/client_counts.h"

namespace imapmux::session {

std::optional<ClientCounts::Place> ClientCounts::take(std::string key, uint64_t most) {
  const std::lock_guard lock(mutex_);
  const auto known = clients_.find(key);
  if (known != clients_.end()) {
    if (most != 0 && known->second >= most) return std::nullopt;
    ++known->second;
    return Place(*this, *known);
  }
  return Place(*this, *clients_.emplace(std::move(key), 1).first);
}

void ClientCounts::give_back(const Entry& entry) {
  const std::lock_guard lock(mutex_);
  const auto known = clients_.find(entry.first);
  if (--known->second == 0) clients_.erase(known);
}

size_t ClientCounts::keys() const {
  const std::lock_guard lock(mutex_);
  return clients_.size();
}

}  // namespace imapmux::session
