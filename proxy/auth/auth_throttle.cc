#include "auth/auth_throttle.h"

#include <algorithm>
#include <array>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/bytes.h"

namespace imapmux::auth {

namespace {

constexpr base::Millis kLongestDelay{15'000};
// A row of failures ends when there was none for so long.
constexpr base::Millis kForgetAfter{15 * 60 * 1000};
constexpr size_t kMostEntries = 16'384;
constexpr size_t kLongestKey = 128;
constexpr int64_t kSuspectAfter = 3;

// The failures in a row by key. The one that has not failed for the longest time gives way when there is no
// room.
class FailureCounts {
 public:
  struct Entry {
    std::string key;
    int64_t failures;
    base::Instant latest;
    base::Instant not_before{};  // of the next attempt
  };

  Entry& note(std::string key, base::Instant now) {
    const auto known = index_.find(key);
    if (known == index_.end()) {
      if (entries_.size() >= kMostEntries) forget_oldest();
      entries_.push_front({key, 0, now, {}});
      index_.emplace(std::move(key), entries_.begin());
    } else {
      entries_.splice(entries_.begin(), entries_, known->second);
    }
    Entry& entry = entries_.front();
    entry.failures = now - entry.latest > kForgetAfter ? 1 : entry.failures + 1;
    entry.latest = now;
    return entry;
  }

  // Nothing if it has no failures.
  Entry* find(const std::string& key) {
    const auto known = index_.find(key);
    return known == index_.end() ? nullptr : &*known->second;
  }

  void forget(const std::string& key) {
    const auto known = index_.find(key);
    if (known == index_.end()) return;
    entries_.erase(known->second);
    index_.erase(known);
  }

 private:
  void forget_oldest() {
    index_.erase(entries_.back().key);
    entries_.pop_back();
  }

  std::list<Entry> entries_;  // the latest failure first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
};

std::string user_key(std::string_view user) {
  return base::lower(user.substr(0, kLongestKey));
}

base::Millis delay_of(int64_t failures, base::Millis base) {
  if (base.count() <= 0) return base::Millis(0);
  // Compared before it is multiplied: failures have no limit.
  if (failures > kLongestDelay.count() / base.count()) return kLongestDelay;
  return base * failures;
}

std::string pair_key(const std::optional<base::IpAddress>& address, std::string_view user) {
  return (address ? address->party() : std::string()) + '\0' + user_key(user);
}

using Entries = std::array<FailureCounts::Entry*, 2>;

base::Millis hold_of(const Entries& entries, base::Instant now) {
  auto until = now;
  for (const auto* entry : entries)
    if (entry) until = std::max(until, entry->not_before);
  return std::chrono::duration_cast<base::Millis>(until - now);
}

}  // namespace

struct AuthThrottle::State {
  std::mutex mutex;
  FailureCounts addresses;
  FailureCounts users;
  FailureCounts friends;  // address and user that succeeded before; bounded like the others

  // Of what comes through webmail, nobody knows whose it is.
  bool is_friend(const std::optional<base::IpAddress>& address, std::string_view user) {
    return address && friends.find(pair_key(address, user)) != nullptr;
  }
  // The failures that an attempt waits for. Guessers must not lock out the owner, who has been here before.
  Entries slowed_by(const std::optional<base::IpAddress>& address, std::string_view user) {
    return {address ? addresses.find(address->party()) : nullptr,
            is_friend(address, user) ? nullptr : users.find(user_key(user))};
  }
};

AuthThrottle::AuthThrottle() : state_(std::make_unique<State>()) {}
AuthThrottle::~AuthThrottle() = default;

base::Millis AuthThrottle::failed(std::optional<base::IpAddress> address, std::string_view user,
                                  base::Millis base, base::Instant now) {
  const std::lock_guard lock(state_->mutex);
  FailureCounts::Entry* of_user = nullptr;
  FailureCounts::Entry* of_address = nullptr;
  if (!state_->is_friend(address, user)) of_user = &state_->users.note(user_key(user), now);
  if (address) of_address = &state_->addresses.note(address->party(), now);
  int64_t failures = 0;
  for (const auto* entry : {of_user, of_address})
    if (entry) failures = std::max(failures, entry->failures);
  const auto delay = delay_of(failures, base);
  for (auto* entry : {of_user, of_address})
    if (entry) entry->not_before = now + delay;
  return delay;
}

base::Millis AuthThrottle::admit(std::optional<base::IpAddress> address, std::string_view user,
                                 base::Millis base, base::Instant now) {
  const std::lock_guard lock(state_->mutex);
  const auto entries = state_->slowed_by(address, user);
  if (const auto left = hold_of(entries, now); left.count() > 0) return left;
  for (auto* entry : entries)
    if (entry) entry->not_before = now + delay_of(entry->failures, base);
  return base::Millis(0);
}

void AuthThrottle::not_decided(std::optional<base::IpAddress> address, std::string_view user) {
  const std::lock_guard lock(state_->mutex);
  for (auto* entry : state_->slowed_by(address, user))
    if (entry) entry->not_before = {};
}

base::Millis AuthThrottle::hold(std::optional<base::IpAddress> address, std::string_view user,
                                base::Instant now) {
  const std::lock_guard lock(state_->mutex);
  return hold_of(state_->slowed_by(address, user), now);
}

AuthThrottle::Standing AuthThrottle::standing(std::optional<base::IpAddress> address, std::string_view user) {
  const std::lock_guard lock(state_->mutex);
  if (state_->is_friend(address, user)) return Standing::kKnown;
  const auto* of_user = state_->users.find(user_key(user));
  return of_user && of_user->failures >= kSuspectAfter ? Standing::kSuspect : Standing::kStranger;
}

void AuthThrottle::succeeded(std::optional<base::IpAddress> address, std::string_view user) {
  const std::lock_guard lock(state_->mutex);
  if (address) state_->addresses.forget(address->party());
  if (state_->is_friend(address, user)) return;
  state_->users.forget(user_key(user));
  if (address) state_->friends.note(pair_key(address, user), {});
}

}  // namespace imapmux::auth
