// The words of the arbiter: what a command wants of which mailbox. Values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace imapmux::mailbox {

enum class LeaseKind : uint8_t {
  kSelect,
  kExamine,
  kStatus,
  kAppend,       // also the targets of COPY and MOVE
  kRestructure,  // DELETE and RENAME: of the name, the new name, and all inferiors that are open
};

enum class ConflictRule : uint8_t {
  kSingleAccess,  // every pair of different holders conflicts
  kSingleWriter,  // Examine and Status go beside anything but Restructure
  kNone,
};

// Which mailbox: names that mean the same mailbox have the same key (see mailbox_key.h).
struct MailboxKey {
  std::string
      scope;  // backend and account, or backend and "shared": mailboxes of different scopes never conflict
  std::string mailbox;  // canonical name
  char delimiter = 0;   // of the hierarchy, for inferiors; 0: none
  friend bool operator==(const MailboxKey& a, const MailboxKey& b) {
    return a.scope == b.scope && a.mailbox == b.mailbox;
  }
};

struct LeaseRequest {
  MailboxKey key;
  LeaseKind kind = LeaseKind::kSelect;
};

// A backend connection; never reused. 0 is nobody.
using HolderId = uint64_t;
// Whose sessions share connections: one of those numbers as well.
using AccountId = HolderId;

constexpr bool conflicts(LeaseKind a, LeaseKind b, ConflictRule rule) {
  if (rule == ConflictRule::kNone) return false;
  if (rule == ConflictRule::kSingleAccess) return true;
  const auto gentle = [](LeaseKind kind) {
    return kind == LeaseKind::kExamine || kind == LeaseKind::kStatus;
  };
  if (a == LeaseKind::kRestructure || b == LeaseKind::kRestructure) return true;
  return !gentle(a) && !gentle(b);
}

}  // namespace imapmux::mailbox
