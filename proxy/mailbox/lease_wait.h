// Waiting for leases of the arbiter, from a task of a worker's thread: the one place where a grant, which may
// come from another thread, becomes a wake-up here.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "async/wait.h"
#include "config/config.h"
#include "mailbox/arbiter.h"
#include "mailbox/workplace.h"

namespace imapmux::mailbox {

ConflictRule rule_of(config::Conflicts conflicts);

struct LeaseWish {
  HolderId holder = 0;
  std::vector<LeaseRequest> requests;
  ConflictRule rule = ConflictRule::kSingleAccess;
  MailboxArbiter::Ticket::Place place = MailboxArbiter::Ticket::Place::kInLine;
  MailboxArbiter::Ticket::Manner manner = MailboxArbiter::Ticket::Manner::kInsisting;
  // As in the ticket.
  HolderId own = 0;
  AccountId account = 0;
};

// Nothing: granted. Else why not, fit behind a tag: "NO [INUSE] …". Waits at most `patience`, or until
// `give_up` says so after `nudges` was notified. `nudges` and what `give_up` looks at must outlive the call.
using Refusal = std::optional<std::string>;
async::Task<Refusal> take_leases(Workplace& workplace, LeaseWish wish, base::Millis patience,
                                 async::WaitList& nudges, std::function<bool()> give_up);

}  // namespace imapmux::mailbox
