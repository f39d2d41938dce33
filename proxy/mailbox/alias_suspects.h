// Notices open mailboxes that look like one and the same under two names, which the configuration
// (mailbox_aliases, shared_namespaces) does not know of: equal UIDVALIDITY, UIDNEXT and number of messages,
// which must not be 0. Only for the log: a person has to judge. One per process, thread-safe, asked once per
// SELECT.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mailbox/lease.h"

namespace imapmux::mailbox {

struct MailboxIdentity {
  uint32_t uid_validity = 0;
  uint32_t uid_next = 0;
  uint32_t exists = 0;
  friend auto operator<=>(const MailboxIdentity&, const MailboxIdentity&) = default;
};

class AliasSuspects {
 public:
  // A mailbox of `backend` was opened; returns another open one that may be the same. Each pair is returned
  // once.
  std::optional<MailboxKey> opened(HolderId holder, const std::string& backend, const MailboxKey& key,
                                   const MailboxIdentity& identity);
  // The holder closed what it had open.
  void closed(HolderId holder);

 private:
  struct Open {
    MailboxKey key;
    std::pair<std::string, MailboxIdentity> identity;
  };
  std::mutex mutex_;
  std::map<HolderId, Open> open_;
  std::multimap<std::pair<std::string, MailboxIdentity>, HolderId> by_identity_;
  std::map<std::pair<std::string, std::string>, bool> told_;
};

}  // namespace imapmux::mailbox
