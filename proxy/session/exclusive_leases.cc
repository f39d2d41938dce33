// ExclusiveSession: waiting for leases, with the client's patience and the configuration's.
#include "session/exclusive_session.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Millis;
using mailbox::MailboxArbiter;

// Shared with the arbiter's callback, which may come from another thread and outlive the wait.
struct LeaseWait {
  explicit LeaseWait(async::WaitList& list) : nudges(list) {}
  async::WaitList& nudges;  // of the session, which outlives the wait
  bool granted = false;     // on the session's thread
};

// Withdraws a ticket that is given up by an exception. What was granted meanwhile is given back with
// everything else when the session ends.
class Withdrawal {
 public:
  Withdrawal(MailboxArbiter& arbiter, std::shared_ptr<MailboxArbiter::Ticket> ticket)
      : arbiter_(arbiter), ticket_(std::move(ticket)) {}
  ~Withdrawal() {
    if (ticket_) arbiter_.withdraw(ticket_);
  }
  Withdrawal(const Withdrawal&) = delete;
  Withdrawal& operator=(const Withdrawal&) = delete;
  void settled() { ticket_.reset(); }

 private:
  MailboxArbiter& arbiter_;
  std::shared_ptr<MailboxArbiter::Ticket> ticket_;
};

mailbox::ConflictRule rule_of(config::Conflicts conflicts) {
  switch (conflicts) {
    case config::Conflicts::kSingleAccess:
      return mailbox::ConflictRule::kSingleAccess;
    case config::Conflicts::kSingleWriter:
      return mailbox::ConflictRule::kSingleWriter;
    case config::Conflicts::kNone:
      return mailbox::ConflictRule::kNone;
  }
  return mailbox::ConflictRule::kSingleAccess;
}

}  // namespace

std::shared_ptr<MailboxArbiter::Ticket> ExclusiveSession::make_ticket(
    std::vector<mailbox::LeaseRequest> requests, MailboxArbiter::Ticket::Place place) const {
  auto ticket = std::make_shared<MailboxArbiter::Ticket>();
  ticket->holder = holder_;
  ticket->requests = std::move(requests);
  ticket->rule = rule_of(seat_.backend->conflicts);
  ticket->place = place;
  return ticket;
}

Task<ExclusiveSession::Refusal> ExclusiveSession::lease(std::vector<mailbox::LeaseRequest> requests,
                                                        MailboxArbiter::Ticket::Place place) {
  auto& host = client_.host();
  const std::string first = requests.front().key.mailbox;
  auto ticket = make_ticket(std::move(requests), place);
  auto wait = std::make_shared<LeaseWait>(client_.nudges());
  ticket->granted = [&host, weak = std::weak_ptr(wait)] {
    host.post([weak] {
      const auto alive = weak.lock();
      if (!alive) return;
      alive->granted = true;
      alive->nudges.notify_all();
    });
  };
  const auto verdict = host.arbiter().request(ticket);
  if (verdict == MailboxArbiter::Verdict::kGranted) co_return std::nullopt;
  std::string refusal;
  if (verdict == MailboxArbiter::Verdict::kDeadlock) {
    refusal = "NO [INUSE] Mailbox is in use, waiting for it would be a deadlock";
  } else if (verdict == MailboxArbiter::Verdict::kOpen) {
    refusal = "NO [INUSE] Mailbox is in use by another session";
  } else {
    Withdrawal withdrawal(host.arbiter(), ticket);
    client_.waiting_for("mailbox " + first);
    const auto deadline = host.scheduler().now() + seat_.backend->lease_wait;
    while (!wait->granted && !client_.giving_up()) {
      const auto left = std::chrono::duration_cast<Millis>(deadline - host.scheduler().now());
      if (left.count() <= 0) break;
      co_await client_.nudges().wait_for(left);
    }
    client_.waiting_for("");
    withdrawal.settled();
    // Granted in the very moment of giving up is granted.
    if (wait->granted || !host.arbiter().withdraw(ticket)) co_return std::nullopt;
    refusal = "NO [INUSE] Mailbox is in use";
  }
  host.shared().counters.in_use.fetch_add(1, std::memory_order_relaxed);
  co_return refusal;
}

void ExclusiveSession::release(const mailbox::MailboxKey& key) {
  if (is_selected(key)) return;
  client_.host().arbiter().release(holder_, key);
}

}  // namespace imapmux::session
