// From what a server does to how it is to be used. Pure. What could not be found out counts as the worst.
#pragma once

#include <cstdint>
#include <string>

#include "config/config.h"
#include "probe/findings.h"

namespace imapmux::probe {

// Each value with the reason for it, in a few words.
struct Verdict {
  config::MailboxAccess access = config::MailboxAccess::kShared;
  std::string why_access;
  config::Conflicts conflicts = config::Conflicts::kSingleAccess;
  std::string why_conflicts;
  uint32_t connections_per_user = 1;
  std::string why_connections;
  uint32_t max_connections = 0;  // 0: not to be set
  std::string why_max_connections;
  config::UidNext uid_next = config::UidNext::kUnreliable;
  std::string why_uid_next;
};

Verdict judge(const Findings& findings);

}  // namespace imapmux::probe
