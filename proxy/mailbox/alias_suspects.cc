#include "mailbox/alias_suspects.h"

#include <algorithm>

#include "base/bytes.h"

namespace imapmux::mailbox {
namespace {

constexpr size_t kMostPairs = 1000;

std::string text_of(const MailboxKey& key) {
  return key.scope + '\0' + key.mailbox;
}

bool is_inbox(const MailboxKey& key) {
  return base::equals_ignore_case(key.mailbox, "INBOX");
}

}  // namespace

std::optional<MailboxKey> AliasSuspects::opened(HolderId holder, const std::string& backend,
                                                const MailboxKey& key, const MailboxIdentity& identity) {
  closed(holder);
  if (identity.exists == 0 || identity.uid_validity == 0 || identity.uid_next == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto mark = std::make_pair(backend, identity);
  std::optional<MailboxKey> suspect;
  const auto [begin, end] = by_identity_.equal_range(mark);
  for (auto at = begin; at != end && !suspect; ++at) {
    const auto& other = open_.at(at->second).key;
    if (other == key || told_.size() >= kMostPairs) continue;
    // Of two users, made in the same second: no server has one INBOX for both.
    if (is_inbox(other) && is_inbox(key)) continue;
    const auto pair = std::minmax({text_of(other), text_of(key)});
    if (told_.emplace(std::make_pair(pair.first, pair.second), true).second) suspect = other;
  }
  open_.emplace(holder, Open{key, mark});
  by_identity_.emplace(mark, holder);
  return suspect;
}

void AliasSuspects::closed(HolderId holder) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(holder);
  if (found == open_.end()) return;
  const auto [begin, end] = by_identity_.equal_range(found->second.identity);
  for (auto at = begin; at != end; ++at) {
    if (at->second != holder) continue;
    by_identity_.erase(at);
    break;
  }
  open_.erase(found);
}

}  // namespace imapmux::mailbox
