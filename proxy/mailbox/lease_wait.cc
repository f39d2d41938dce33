#include "mailbox/lease_wait.h"

#include "mailbox/meter.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using base::Millis;

constexpr std::string_view kOpenElsewhere = "NO [INUSE] Mailbox is in use by another session";

// Shared with the arbiter's callback, which may come from another thread and outlive the wait.
struct Grant {
  explicit Grant(async::WaitList& list) : nudges(list) {}
  async::WaitList& nudges;  // outlives the wait
  bool granted = false;     // on the waiter's thread
};

// Withdraws a ticket that is given up by an exception. What was granted meanwhile is the holder's, who gives
// back all that he has when he ends.
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

}  // namespace

ConflictRule rule_of(config::Conflicts conflicts) {
  switch (conflicts) {
    case config::Conflicts::kSingleAccess:
      return ConflictRule::kSingleAccess;
    case config::Conflicts::kSingleWriter:
      return ConflictRule::kSingleWriter;
    case config::Conflicts::kNone:
      return ConflictRule::kNone;
  }
  return ConflictRule::kSingleAccess;
}

Task<Refusal> take_leases(Workplace& workplace, LeaseWish wish, Millis patience, async::WaitList& nudges,
                          std::function<bool()> give_up) {
  auto& arbiter = workplace.arbiter();
  auto& scheduler = workplace.scheduler();
  auto ticket = std::make_shared<MailboxArbiter::Ticket>();
  ticket->holder = wish.holder;
  ticket->requests = std::move(wish.requests);
  ticket->rule = wish.rule;
  ticket->place = wish.place;
  ticket->manner = wish.manner;
  ticket->own = wish.own;
  ticket->account = wish.account;
  auto grant = std::make_shared<Grant>(nudges);
  ticket->granted = [&workplace, weak = std::weak_ptr(grant)] {
    workplace.post([weak] {
      const auto alive = weak.lock();
      if (!alive) return;
      alive->granted = true;
      alive->nudges.notify_all();
    });
  };
  switch (arbiter.request(ticket)) {
    case MailboxArbiter::Verdict::kGranted:
      Meter::mine().leases_granted.add(Millis(0));
      co_return std::nullopt;
    case MailboxArbiter::Verdict::kDeadlock:
      Meter::mine().leases_refused.add(Millis(0));
      co_return "NO [INUSE] Mailbox is in use, waiting for it would be a deadlock";
    case MailboxArbiter::Verdict::kOpen:
      Meter::mine().leases_refused.add(Millis(0));
      co_return std::string(kOpenElsewhere);
    case MailboxArbiter::Verdict::kWaiting:
      break;
  }
  Withdrawal withdrawal(arbiter, ticket);
  const auto began = scheduler.now();
  const auto deadline = began + patience;
  while (!grant->granted && !give_up()) {
    const auto left = std::chrono::duration_cast<Millis>(deadline - scheduler.now());
    if (left.count() <= 0) break;
    co_await nudges.wait_for(left);
  }
  withdrawal.settled();
  // Granted in the very moment of giving up is granted. What was to be deleted may have been opened
  // meanwhile.
  const bool granted = grant->granted || !arbiter.withdraw(ticket);
  const bool usable = granted && !arbiter.is_open(*ticket);
  auto& waits = usable ? Meter::mine().leases_granted : Meter::mine().leases_refused;
  waits.add(std::chrono::duration_cast<Millis>(scheduler.now() - began));
  if (usable) co_return std::nullopt;
  co_return granted ? std::string(kOpenElsewhere) : "NO [INUSE] Mailbox is in use";
}

}  // namespace imapmux::mailbox
