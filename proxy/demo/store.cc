#include "demo/store.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "demo/list_pattern.h"

namespace imapmux::demo {

namespace {

// The iterator of `uid` in messages ordered by UID, or the end.
template <class Messages>
auto find_uid(Messages& messages, uint32_t uid) {
  auto at = std::ranges::lower_bound(messages, uid, {}, &Message::uid);
  return at != messages.end() && at->uid == uid ? at : messages.end();
}

}  // namespace

bool IgnoreCaseLess::operator()(std::string_view a, std::string_view b) const {
  return std::ranges::lexicographical_compare(a, b, {}, base::to_lower, base::to_lower);
}

Flags apply(StoreMode mode, Flags before, const Flags& flags) {
  if (mode == StoreMode::kReplace) return flags;
  for (const std::string& flag : flags) {
    if (mode == StoreMode::kAdd) {
      before.insert(flag);
    } else {
      before.erase(flag);
    }
  }
  return before;
}

MailStore::MailStore(uint32_t first_uid_validity)
    : next_uid_validity_(first_uid_validity != 0 ? first_uid_validity
                                                 : static_cast<uint32_t>(now().seconds)) {}

void MailStore::set_listener(std::function<void()> listener) {
  std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

void MailStore::changed() {
  std::function<void()> listener;
  {
    std::lock_guard lock(mutex_);
    listener = listener_;
  }
  if (listener) listener();
}

bool MailStore::ensure_user(const std::string& user) {
  std::lock_guard lock(mutex_);
  auto [at, made] = users_.try_emplace(user);
  if (made) at->second.mailboxes["INBOX"] = make_locked();
  return made;
}

MailboxId MailStore::make_locked() {
  MailboxId id = next_id_++;
  MailboxSnapshot& mailbox = mailboxes_[id];
  mailbox.id = id;
  mailbox.uid_validity = next_uid_validity_++;
  mailbox.revision = 1;
  return id;
}

MailboxSnapshot* MailStore::find_locked(MailboxId mailbox) {
  auto at = mailboxes_.find(mailbox);
  return at == mailboxes_.end() ? nullptr : &at->second;
}

const MailboxSnapshot* MailStore::find_locked(MailboxId mailbox) const {
  auto at = mailboxes_.find(mailbox);
  return at == mailboxes_.end() ? nullptr : &at->second;
}

MailboxSnapshot* MailStore::find_locked(const std::string& user, const std::string& name) {
  auto owner = users_.find(user);
  if (owner == users_.end()) return nullptr;
  auto at = owner->second.mailboxes.find(name);
  return at == owner->second.mailboxes.end() ? nullptr : find_locked(at->second);
}

// RFC 3501, 6.3.3: superior names are made as well.
void MailStore::make_with_superiors_locked(User& user, const std::string& name, MailboxId id) {
  for (size_t at = name.find(kDelimiter); at != std::string::npos; at = name.find(kDelimiter, at + 1)) {
    auto [superior, made] = user.mailboxes.try_emplace(name.substr(0, at), 0);
    if (made) superior->second = make_locked();
  }
  user.mailboxes[name] = id;
}

MailStore::Change MailStore::create(const std::string& user, const std::string& name) {
  std::lock_guard lock(mutex_);
  auto owner = users_.find(user);
  if (owner == users_.end() || name.empty() || name.front() == kDelimiter || name.contains("//"))
    return Change::kNotAllowed;
  auto at = owner->second.mailboxes.find(name);
  if (at != owner->second.mailboxes.end() && at->second != 0) return Change::kExists;
  make_with_superiors_locked(owner->second, name, make_locked());
  return Change::kDone;
}

MailStore::Change MailStore::remove(const std::string& user, const std::string& name) {
  Change result = Change::kDone;
  {
    std::lock_guard lock(mutex_);
    result = remove_locked(user, name);
  }
  if (result == Change::kDone) changed();
  return result;
}

MailStore::Change MailStore::remove_locked(const std::string& user, const std::string& name) {
  auto owner = users_.find(user);
  if (owner == users_.end()) return Change::kNoSuchMailbox;
  if (name == "INBOX") return Change::kNotAllowed;
  auto& mailboxes = owner->second.mailboxes;
  auto at = mailboxes.find(name);
  if (at == mailboxes.end()) return Change::kNoSuchMailbox;
  auto below = mailboxes.lower_bound(name + kDelimiter);
  bool has_children = below != mailboxes.end() && below->first.starts_with(name + kDelimiter);
  // RFC 3501, 6.3.4: one with inferior names stays as \Noselect, and can't be deleted again.
  if (has_children && at->second == 0) return Change::kHasChildren;
  mailboxes_.erase(at->second);
  if (has_children) {
    at->second = 0;
  } else {
    mailboxes.erase(at);
  }
  return Change::kDone;
}

MailStore::Change MailStore::rename(const std::string& user, const std::string& from, const std::string& to) {
  Change result = Change::kDone;
  {
    std::lock_guard lock(mutex_);
    result = rename_locked(user, from, to);
  }
  if (result == Change::kDone) changed();
  return result;
}

MailStore::Change MailStore::rename_locked(const std::string& user, const std::string& from,
                                           const std::string& to) {
  auto owner = users_.find(user);
  if (owner == users_.end()) return Change::kNoSuchMailbox;
  auto& mailboxes = owner->second.mailboxes;
  auto source = mailboxes.find(from);
  if (source == mailboxes.end()) return Change::kNoSuchMailbox;
  if (mailboxes.contains(to)) return Change::kExists;
  if (to.empty() || to.front() == kDelimiter || to.contains("//") || to.starts_with(from + kDelimiter))
    return Change::kNotAllowed;
  if (from == "INBOX") {
    // RFC 3501, 6.3.5: its messages move, it stays, and what lies below it is not touched.
    MailboxId id = make_locked();
    make_with_superiors_locked(owner->second, to, id);
    MailboxSnapshot& inbox = mailboxes_[mailboxes["INBOX"]];
    append_locked(mailboxes_[id], std::exchange(inbox.messages, {}));
    ++inbox.revision;
    return Change::kDone;
  }
  std::vector<std::pair<std::string, MailboxId>> moved = {{to, source->second}};
  mailboxes.erase(source);
  std::string prefix = from + kDelimiter;
  auto below = mailboxes.lower_bound(prefix);
  while (below != mailboxes.end() && below->first.starts_with(prefix)) {
    moved.emplace_back(to + kDelimiter + below->first.substr(prefix.size()), below->second);
    below = mailboxes.erase(below);
  }
  for (const auto& [name, id] : moved) make_with_superiors_locked(owner->second, name, id);
  return Change::kDone;
}

void MailStore::subscribe(const std::string& user, const std::string& name, bool on) {
  std::lock_guard lock(mutex_);
  if (on) {
    users_[user].subscriptions.insert(name);
  } else {
    users_[user].subscriptions.erase(name);
  }
}

std::vector<MailboxListing> MailStore::list(const std::string& user) const {
  std::lock_guard lock(mutex_);
  std::vector<MailboxListing> result;
  auto owner = users_.find(user);
  if (owner == users_.end()) return result;
  const auto& mailboxes = owner->second.mailboxes;
  for (const auto& [name, id] : mailboxes) {
    auto below = mailboxes.lower_bound(name + kDelimiter);
    bool has_children = below != mailboxes.end() && below->first.starts_with(name + kDelimiter);
    result.push_back({name, id != 0, has_children});
  }
  return result;
}

std::set<std::string> MailStore::subscriptions(const std::string& user) const {
  std::lock_guard lock(mutex_);
  auto owner = users_.find(user);
  return owner == users_.end() ? std::set<std::string>() : owner->second.subscriptions;
}

std::optional<MailboxId> MailStore::find(const std::string& user, const std::string& name) const {
  std::lock_guard lock(mutex_);
  auto owner = users_.find(user);
  if (owner == users_.end()) return std::nullopt;
  auto at = owner->second.mailboxes.find(name);
  if (at == owner->second.mailboxes.end() || at->second == 0) return std::nullopt;
  return at->second;
}

std::vector<MailboxId> MailStore::family(const std::string& user, const std::string& name) const {
  std::lock_guard lock(mutex_);
  std::vector<MailboxId> result;
  auto owner = users_.find(user);
  if (owner == users_.end()) return result;
  for (const auto& [other, id] : owner->second.mailboxes) {
    if (id != 0 && (other == name || other.starts_with(name + kDelimiter))) result.push_back(id);
  }
  return result;
}

std::optional<AppendResult> MailStore::append(const std::string& user, const std::string& name,
                                              std::string octets, Flags flags,
                                              std::optional<ZonedTime> date) {
  std::optional<AppendResult> result;
  {
    std::lock_guard lock(mutex_);
    MailboxSnapshot* mailbox = find_locked(user, name);
    if (mailbox == nullptr) return std::nullopt;
    Message message{0, std::move(flags), date.value_or(now()),
                    std::make_shared<const std::string>(std::move(octets))};
    result = append_locked(*mailbox, {std::move(message)});
  }
  changed();
  return result;
}

std::optional<AppendResult> MailStore::append_all(MailboxId mailbox, const std::vector<Message>& messages) {
  std::optional<AppendResult> result;
  {
    std::lock_guard lock(mutex_);
    MailboxSnapshot* target = find_locked(mailbox);
    if (target == nullptr) return std::nullopt;
    result = append_locked(*target, messages);
  }
  changed();
  return result;
}

AppendResult MailStore::append_locked(MailboxSnapshot& mailbox, std::vector<Message> messages) {
  AppendResult result{mailbox.uid_validity, {}};
  for (Message& message : messages) {
    message.uid = mailbox.uid_next++;
    result.uids.push_back(message.uid);
    mailbox.messages.push_back(std::move(message));
  }
  ++mailbox.revision;
  return result;
}

bool MailStore::expunge(const std::string& user, const std::string& name, uint32_t uid) {
  bool done = false;
  {
    std::lock_guard lock(mutex_);
    MailboxSnapshot* mailbox = find_locked(user, name);
    done = mailbox != nullptr && expunge_locked(*mailbox, {uid});
  }
  if (done) changed();
  return done;
}

void MailStore::expunge(MailboxId mailbox, const std::vector<uint32_t>& uids) {
  bool done = false;
  {
    std::lock_guard lock(mutex_);
    MailboxSnapshot* found = find_locked(mailbox);
    done = found != nullptr && expunge_locked(*found, uids);
  }
  if (done) changed();
}

void MailStore::renew(MailboxId mailbox) {
  {
    std::lock_guard lock(mutex_);
    MailboxSnapshot* found = find_locked(mailbox);
    if (found == nullptr) return;
    found->uid_validity = next_uid_validity_++;
    found->uid_next = 1;
    for (Message& message : found->messages) message.uid = found->uid_next++;
    found->recent_from = found->uid_next;
    ++found->revision;
  }
  changed();
}

bool MailStore::expunge_locked(MailboxSnapshot& mailbox, const std::vector<uint32_t>& uids) {
  std::set<uint32_t> gone(uids.begin(), uids.end());
  size_t count = std::erase_if(mailbox.messages, [&](const Message& m) { return gone.contains(m.uid); });
  if (count != 0) ++mailbox.revision;
  return count != 0;
}

std::optional<MailboxSnapshot> MailStore::snapshot(const std::string& user, const std::string& name) const {
  auto id = find(user, name);
  if (!id) return std::nullopt;
  return snapshot(*id);
}

MailboxSnapshot MailStore::snapshot(MailboxId mailbox) const {
  std::lock_guard lock(mutex_);
  const MailboxSnapshot* found = find_locked(mailbox);
  return found == nullptr ? MailboxSnapshot() : *found;
}

uint64_t MailStore::revision(MailboxId mailbox) const {
  std::lock_guard lock(mutex_);
  const MailboxSnapshot* found = find_locked(mailbox);
  return found == nullptr ? 0 : found->revision;
}

MailboxNumbers MailStore::numbers(MailboxId mailbox) const {
  std::lock_guard lock(mutex_);
  MailboxNumbers result;
  const MailboxSnapshot* found = find_locked(mailbox);
  if (found == nullptr) return result;
  result.messages = static_cast<uint32_t>(found->messages.size());
  result.uid_next = found->uid_next;
  result.uid_validity = found->uid_validity;
  for (const Message& message : found->messages) {
    if (message.uid >= found->recent_from) ++result.recent;
    if (!message.flags.contains("\\Seen")) ++result.unseen;
  }
  return result;
}

void MailStore::claim_recent(MailboxId mailbox) {
  std::lock_guard lock(mutex_);
  MailboxSnapshot* found = find_locked(mailbox);
  if (found != nullptr) found->recent_from = found->uid_next;
}

std::optional<Flags> MailStore::store_flags(MailboxId mailbox, uint32_t uid, StoreMode mode,
                                            const Flags& flags) {
  std::optional<Flags> result;
  bool different = false;
  {
    std::lock_guard lock(mutex_);
    MailboxSnapshot* found = find_locked(mailbox);
    if (found == nullptr) return std::nullopt;
    auto message = find_uid(found->messages, uid);
    if (message == found->messages.end()) return std::nullopt;
    Flags after = apply(mode, message->flags, flags);
    different = after != message->flags;
    message->flags = std::move(after);
    if (different) ++found->revision;
    result = message->flags;
  }
  if (different) changed();
  return result;
}

}  // namespace imapmux::demo
