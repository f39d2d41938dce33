// The mail of the legacy server, in memory: users, mailboxes, messages, subscriptions.
//
// One per LegacyServer, owned by it, as long as it lives. Thread-safe by one mutex: the server's thread works
// on it while tests deliver and expunge from theirs. Everything that is handed out is a copy; a message's
// octets are shared and never change. Mailbox names are canonical (wire::canonical_mailbox_name with "/").
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "demo/dates.h"

namespace imapmux::demo {

struct IgnoreCaseLess {
  bool operator()(std::string_view a, std::string_view b) const;
};
// System flags in RFC 3501's spelling, keywords as first written. \Recent is never in it.
using Flags = std::set<std::string, IgnoreCaseLess>;

// Stays the same when the mailbox is renamed, is never used again when it is deleted.
using MailboxId = uint64_t;

struct Message {
  uint32_t uid = 0;
  Flags flags;
  ZonedTime internal_date;
  std::shared_ptr<const std::string> octets;
};

struct MailboxSnapshot {
  MailboxId id = 0;
  uint32_t uid_validity = 0;
  uint32_t uid_next = 1;
  uint32_t recent_from = 1;  // messages from this UID on have been shown to no read-write session yet
  uint64_t revision = 0;     // grows with every change
  std::vector<Message> messages;
};

struct MailboxNumbers {
  uint32_t messages = 0;
  uint32_t recent = 0;
  uint32_t unseen = 0;
  uint32_t uid_next = 1;
  uint32_t uid_validity = 0;
};

struct MailboxListing {
  std::string name;
  bool selectable = true;
  bool has_children = false;
};

struct AppendResult {
  uint32_t uid_validity = 0;
  std::vector<uint32_t> uids;
};

enum class StoreMode : uint8_t { kReplace, kAdd, kRemove };
// What STORE makes of a message's flags.
Flags apply(StoreMode mode, Flags before, const Flags& flags);

class MailStore {
 public:
  enum class Change : uint8_t { kDone, kNoSuchMailbox, kExists, kHasChildren, kNotAllowed };

  // UIDVALIDITY begins at `first_uid_validity`; 0: at the seconds since 1970, so that no client takes the
  // mail of a restarted server for the one it knows.
  explicit MailStore(uint32_t first_uid_validity = 0);

  // Called after every change by the thread that made it, without the mutex. Set before other threads come.
  void set_listener(std::function<void()> listener);

  // Makes the user and their INBOX; false if they were there.
  bool ensure_user(const std::string& user);

  // --- mailboxes
  Change create(const std::string& user, const std::string& name);  // and its superior names
  Change remove(const std::string& user, const std::string& name);
  Change rename(const std::string& user, const std::string& from, const std::string& to);
  void subscribe(const std::string& user, const std::string& name, bool on);
  std::vector<MailboxListing> list(const std::string& user) const;
  std::set<std::string> subscriptions(const std::string& user) const;
  std::optional<MailboxId> find(const std::string& user, const std::string& name) const;
  // The mailbox itself and what lies below it, without regard to \Noselect.
  std::vector<MailboxId> family(const std::string& user, const std::string& name) const;

  // --- messages; delivery from tests is append()
  std::optional<AppendResult> append(const std::string& user, const std::string& name, std::string octets,
                                     Flags flags = {}, std::optional<ZonedTime> date = std::nullopt);
  // Copies with flags and dates, all or nothing.
  std::optional<AppendResult> append_all(MailboxId mailbox, const std::vector<Message>& messages);
  bool expunge(const std::string& user, const std::string& name, uint32_t uid);
  std::optional<MailboxSnapshot> snapshot(const std::string& user, const std::string& name) const;

  // --- by id; a mailbox that is gone is an empty one of revision 0
  MailboxSnapshot snapshot(MailboxId mailbox) const;
  uint64_t revision(MailboxId mailbox) const;
  MailboxNumbers numbers(MailboxId mailbox) const;
  // From now on what is in the mailbox is no longer recent.
  void claim_recent(MailboxId mailbox);
  // The flags as they are now; nothing if the message is gone.
  std::optional<Flags> store_flags(MailboxId mailbox, uint32_t uid, StoreMode mode, const Flags& flags);
  void expunge(MailboxId mailbox, const std::vector<uint32_t>& uids);
  // Another UIDVALIDITY, and UIDs from 1. Not while it is selected: sessions do not tell of it.
  void renew(MailboxId mailbox);

 private:
  struct User {
    std::map<std::string, MailboxId> mailboxes;  // 0: \Noselect
    std::set<std::string> subscriptions;
  };

  // All below: with the mutex held.
  MailboxSnapshot* find_locked(const std::string& user, const std::string& name);
  const MailboxSnapshot* find_locked(MailboxId mailbox) const;
  MailboxSnapshot* find_locked(MailboxId mailbox);
  MailboxId make_locked();
  void make_with_superiors_locked(User& user, const std::string& name, MailboxId id);
  AppendResult append_locked(MailboxSnapshot& mailbox, std::vector<Message> messages);
  static bool expunge_locked(MailboxSnapshot& mailbox, const std::vector<uint32_t>& uids);
  Change remove_locked(const std::string& user, const std::string& name);
  Change rename_locked(const std::string& user, const std::string& from, const std::string& to);
  void changed();  // without the mutex

  mutable std::mutex mutex_;
  std::map<std::string, User> users_;
  std::map<MailboxId, MailboxSnapshot> mailboxes_;
  MailboxId next_id_ = 1;
  uint32_t next_uid_validity_;
  std::function<void()> listener_;
};

}  // namespace imapmux::demo
