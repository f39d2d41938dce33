#include "mailbox/arbiter.h"

#include <algorithm>

namespace imapmux::mailbox {
namespace {

bool is_inferior(std::string_view name, std::string_view parent, char delimiter) {
  return delimiter && name.size() > parent.size() && name.starts_with(parent) &&
         name[parent.size()] == delimiter;
}

// Whether two requests are about the same mailbox, a restructured name standing for its inferiors too.
bool overlap(const LeaseRequest& a, const LeaseRequest& b) {
  if (a.key.scope != b.key.scope) return false;
  if (a.key.mailbox == b.key.mailbox) return true;
  return (a.kind == LeaseKind::kRestructure && is_inferior(b.key.mailbox, a.key.mailbox, a.key.delimiter)) ||
         (b.kind == LeaseKind::kRestructure && is_inferior(a.key.mailbox, b.key.mailbox, b.key.delimiter));
}

// After a reload two rules may meet: the stricter one counts.
bool contend(LeaseKind a, ConflictRule rule_a, LeaseKind b, ConflictRule rule_b) {
  static_assert(ConflictRule::kSingleAccess < ConflictRule::kSingleWriter &&
                ConflictRule::kSingleWriter < ConflictRule::kNone);
  return conflicts(a, b, std::min(rule_a, rule_b));
}

// What a second wish of one holder for one mailbox makes of the first.
LeaseKind stronger(LeaseKind a, LeaseKind b) {
  const auto weight = [](LeaseKind kind) {
    switch (kind) {
      case LeaseKind::kStatus:
        return 0;
      case LeaseKind::kExamine:
        return 1;
      case LeaseKind::kAppend:
        return 2;
      case LeaseKind::kSelect:
        return 3;
      case LeaseKind::kRestructure:
        return 4;
    }
    return 0;
  };
  return weight(a) < weight(b) ? b : a;
}

std::set<std::string> scopes_of(const MailboxArbiter::Ticket& ticket) {
  std::set<std::string> scopes;
  for (const auto& request : ticket.requests) scopes.insert(request.key.scope);
  return scopes;
}

}  // namespace

template <class Visit>
void MailboxArbiter::for_each_blocker(const Ticket& ticket, const LeaseRequest& request, Visit visit) const {
  const auto scope = scopes_.find(request.key.scope);
  if (scope == scopes_.end()) return;
  const auto& mailboxes = scope->second.mailboxes;
  const auto check = [&](const std::string& name, const std::vector<Hold>& holds) {
    for (const auto& hold : holds) {
      if (hold.holder == ticket.holder) continue;
      const LeaseRequest held{{request.key.scope, name, request.key.delimiter}, hold.kind};
      if (overlap(request, held) && contend(request.kind, ticket.rule, hold.kind, hold.rule)) visit(hold);
    }
  };
  const auto& name = request.key.mailbox;
  if (const auto same = mailboxes.find(name); same != mailboxes.end()) check(same->first, same->second);
  const char delimiter = request.key.delimiter;
  if (!delimiter) return;
  // A superior that is being restructured.
  for (size_t end = name.rfind(delimiter); end != std::string::npos && end > 0;
       end = name.rfind(delimiter, end - 1))
    if (const auto superior = mailboxes.find(name.substr(0, end)); superior != mailboxes.end())
      check(superior->first, superior->second);
  if (request.kind != LeaseKind::kRestructure) return;
  for (auto at = mailboxes.upper_bound(name + delimiter);
       at != mailboxes.end() && at->first.starts_with(name); ++at)
    check(at->first, at->second);
}

bool MailboxArbiter::blocked_by_holders(const Ticket& ticket) const {
  bool blocked = false;
  for (const auto& request : ticket.requests)
    for_each_blocker(ticket, request, [&](const Hold&) { blocked = true; });
  return blocked;
}

bool MailboxArbiter::behind_earlier(const Ticket& ticket) const {
  if (ticket.place == Ticket::Place::kAsHolder && holds_anything(ticket.holder)) return false;
  for (const auto& request : ticket.requests) {
    const auto scope = scopes_.find(request.key.scope);
    if (scope == scopes_.end()) continue;
    for (const auto& other : scope->second.waiting) {
      if (other->number >= ticket.number) break;
      if (other->holder == ticket.holder) continue;
      for (const auto& wanted : other->requests)
        if (overlap(request, wanted) && contend(request.kind, ticket.rule, wanted.kind, other->rule))
          return true;
    }
  }
  return false;
}

bool MailboxArbiter::open_elsewhere(const Ticket& ticket) const {
  if (ticket.rule == ConflictRule::kNone) return false;
  const auto another = [&](AccountId account) { return account != ticket.account; };
  for (const auto& request : ticket.requests) {
    const auto scope = scopes_.find(request.key.scope);
    if (request.kind != LeaseKind::kRestructure || scope == scopes_.end()) continue;
    const auto& looked_at = scope->second.looked_at;
    for (auto at = looked_at.lower_bound(request.key.mailbox);
         at != looked_at.end() && at->first.starts_with(request.key.mailbox); ++at) {
      const LeaseRequest open{{request.key.scope, at->first, request.key.delimiter}, LeaseKind::kSelect};
      if (overlap(request, open) && std::any_of(at->second.begin(), at->second.end(), another)) return true;
    }
  }
  return false;
}

bool MailboxArbiter::is_open(const Ticket& ticket) const {
  const std::lock_guard lock(mutex_);
  return open_elsewhere(ticket);
}

void MailboxArbiter::looked_at(AccountId account, const MailboxKey& key) {
  const std::lock_guard lock(mutex_);
  scopes_[key.scope].looked_at[key.mailbox].insert(account);
}

void MailboxArbiter::looked_at_no_more(AccountId account, const MailboxKey& key) {
  const std::lock_guard lock(mutex_);
  const auto scope = scopes_.find(key.scope);
  if (scope == scopes_.end()) return;
  auto& looked_at = scope->second.looked_at;
  const auto found = looked_at.find(key.mailbox);
  if (found == looked_at.end()) return;
  found->second.erase(account);
  if (found->second.empty()) looked_at.erase(found);
  if (scope->second.empty()) scopes_.erase(scope);
}

bool MailboxArbiter::closes_cycle(const Ticket& ticket) const {
  if (!holds_anything(ticket.holder) && !holds_anything(ticket.own)) return false;
  std::set<HolderId> seen;
  std::vector<const Ticket*> to_visit{&ticket};
  bool found = false;
  while (!to_visit.empty() && !found) {
    const Ticket& current = *to_visit.back();
    to_visit.pop_back();
    for (const auto& request : current.requests) {
      for_each_blocker(current, request, [&](const Hold& hold) {
        if (yields_.contains(hold.holder)) return;
        if (hold.holder == ticket.holder || hold.holder == ticket.own) found = true;
        if (!seen.insert(hold.holder).second) return;
        const auto [first, last] = waits_of_.equal_range(hold.holder);
        for (auto wait = first; wait != last; ++wait) to_visit.push_back(wait->second.get());
      });
    }
  }
  return found;
}

void MailboxArbiter::grant(Ticket& ticket) {
  ticket.state = Ticket::State::kGranted;
  for (const auto& request : ticket.requests) {
    auto& holds = scopes_[request.key.scope].mailboxes[request.key.mailbox];
    const auto mine = std::find_if(holds.begin(), holds.end(),
                                   [&](const Hold& hold) { return hold.holder == ticket.holder; });
    if (mine != holds.end()) {
      mine->kind = stronger(mine->kind, request.kind);
      continue;
    }
    holds.push_back({ticket.holder, request.kind, ticket.rule});
    held_by_[ticket.holder].push_back(request.key);
  }
}

void MailboxArbiter::enqueue(const std::shared_ptr<Ticket>& ticket) {
  ticket->state = Ticket::State::kWaiting;
  waits_of_.emplace(ticket->holder, ticket);
  if (ticket->own != 0) waits_of_.emplace(ticket->own, ticket);
  for (const auto& scope : scopes_of(*ticket)) scopes_[scope].waiting.push_back(ticket);
}

void MailboxArbiter::dequeue(const Ticket& ticket) {
  const auto remove_from = [&](HolderId holder) {
    const auto [first, last] = waits_of_.equal_range(holder);
    const auto mine =
        std::find_if(first, last, [&](const auto& wait) { return wait.second.get() == &ticket; });
    if (mine != last) waits_of_.erase(mine);
  };
  remove_from(ticket.holder);
  if (ticket.own != 0) remove_from(ticket.own);
  for (const auto& request : ticket.requests) {
    const auto scope = scopes_.find(request.key.scope);
    if (scope == scopes_.end()) continue;
    scope->second.waiting.remove_if([&](const auto& waiting) { return waiting.get() == &ticket; });
    if (scope->second.empty()) scopes_.erase(scope);
  }
}

MailboxArbiter::Verdict MailboxArbiter::request(const std::shared_ptr<Ticket>& ticket) {
  Outcome outcome;
  auto verdict = Verdict::kGranted;
  {
    const std::lock_guard lock(mutex_);
    ticket->number = ++numbers_;
    if (open_elsewhere(*ticket)) return Verdict::kOpen;
    if (!blocked_by_holders(*ticket) && !behind_earlier(*ticket)) {
      grant(*ticket);
    } else {
      if (closes_cycle(*ticket)) return Verdict::kDeadlock;
      enqueue(ticket);
      verdict = Verdict::kWaiting;
    }
    outcome.wanted = wanted_in(scopes_of(*ticket));
  }
  tell(outcome);
  return verdict;
}

void MailboxArbiter::tell(const Outcome& outcome) {
  for (const auto& ticket : outcome.granted) ticket->granted();
  for (const auto& wanted : outcome.wanted) (*wanted)();
}

MailboxArbiter::Calls MailboxArbiter::wanted_in(const std::set<std::string>& scopes) const {
  Calls calls;
  if (yields_.empty()) return calls;
  std::set<HolderId> holders;
  for (const auto& name : scopes) {
    const auto scope = scopes_.find(name);
    if (scope == scopes_.end()) continue;
    for (const auto& ticket : scope->second.waiting) {
      if (ticket->manner == Ticket::Manner::kGentle) continue;
      for (const auto& request : ticket->requests)
        for_each_blocker(*ticket, request, [&](const Hold& hold) { holders.insert(hold.holder); });
    }
  }
  for (const auto holder : holders)
    if (const auto found = yields_.find(holder); found != yields_.end()) calls.push_back(found->second);
  return calls;
}

void MailboxArbiter::yields(HolderId holder, std::function<void()> wanted) {
  const std::lock_guard lock(mutex_);
  yields_[holder] = std::make_shared<std::function<void()>>(std::move(wanted));
}

void MailboxArbiter::yields_no_more(HolderId holder) {
  const std::lock_guard lock(mutex_);
  yields_.erase(holder);
}

bool MailboxArbiter::is_wanted(HolderId holder) const {
  const std::lock_guard lock(mutex_);
  const auto mine = held_by_.find(holder);
  if (mine == held_by_.end()) return false;
  bool wanted = false;
  for (const auto& key : mine->second) {
    const auto scope = scopes_.find(key.scope);
    if (scope == scopes_.end()) continue;
    for (const auto& ticket : scope->second.waiting) {
      if (ticket->manner == Ticket::Manner::kGentle) continue;
      for (const auto& request : ticket->requests)
        for_each_blocker(*ticket, request,
                         [&](const Hold& hold) { wanted = wanted || hold.holder == holder; });
    }
  }
  return wanted;
}

bool MailboxArbiter::withdraw(const std::shared_ptr<Ticket>& ticket) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    if (ticket->state == Ticket::State::kGranted) return false;
    if (ticket->state != Ticket::State::kWaiting) return true;
    ticket->state = Ticket::State::kWithdrawn;
    const auto scopes = scopes_of(*ticket);
    dequeue(*ticket);
    outcome = regrant(scopes);  // those that waited behind it
  }
  tell(outcome);
  return true;
}

void MailboxArbiter::drop(HolderId holder, const MailboxKey& key) {
  const auto scope = scopes_.find(key.scope);
  if (scope == scopes_.end()) return;
  const auto mailbox = scope->second.mailboxes.find(key.mailbox);
  if (mailbox == scope->second.mailboxes.end()) return;
  std::erase_if(mailbox->second, [&](const Hold& hold) { return hold.holder == holder; });
  if (!mailbox->second.empty()) return;
  scope->second.mailboxes.erase(mailbox);
  if (scope->second.empty()) scopes_.erase(scope);
}

void MailboxArbiter::settle(HolderId holder, const MailboxKey& key, LeaseKind kind) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    const auto scope = scopes_.find(key.scope);
    if (scope == scopes_.end()) return;
    const auto mailbox = scope->second.mailboxes.find(key.mailbox);
    if (mailbox == scope->second.mailboxes.end()) return;
    for (auto& hold : mailbox->second)
      if (hold.holder == holder) hold.kind = kind;
    outcome = regrant({key.scope});
  }
  tell(outcome);
}

void MailboxArbiter::release(HolderId holder, const MailboxKey& key) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    const auto mine = held_by_.find(holder);
    if (mine == held_by_.end() || std::erase(mine->second, key) == 0) return;
    if (mine->second.empty()) held_by_.erase(mine);
    drop(holder, key);
    outcome = regrant({key.scope});
  }
  tell(outcome);
}

void MailboxArbiter::release_all(HolderId holder, const MailboxKey* keep) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    const auto mine = held_by_.find(holder);
    if (mine == held_by_.end()) return;
    std::vector<MailboxKey> kept;
    std::set<std::string> scopes;
    for (const auto& key : mine->second) {
      if (keep && key == *keep) {
        kept.push_back(key);
        continue;
      }
      drop(holder, key);
      scopes.insert(key.scope);
    }
    if (kept.empty()) {
      held_by_.erase(mine);
    } else {
      mine->second = std::move(kept);
    }
    outcome = regrant(scopes);
  }
  tell(outcome);
}

MailboxArbiter::Outcome MailboxArbiter::regrant(const std::set<std::string>& scopes) {
  Outcome outcome;
  for (const auto& name : scopes) {
    const auto scope = scopes_.find(name);
    if (scope == scopes_.end()) continue;
    const Tickets waiting = scope->second.waiting;  // dequeue() may erase the scope
    for (const auto& ticket : waiting) {
      if (blocked_by_holders(*ticket) || behind_earlier(*ticket)) continue;
      dequeue(*ticket);
      grant(*ticket);
      outcome.granted.push_back(ticket);
    }
  }
  // Who got something may be wanted at once by those who still wait.
  outcome.wanted = wanted_in(scopes);
  return outcome;
}

std::vector<MailboxArbiter::Snapshot> MailboxArbiter::snapshot() const {
  const std::lock_guard lock(mutex_);
  std::vector<Snapshot> all;
  for (const auto& [name, scope] : scopes_) {
    for (const auto& [mailbox, holds] : scope.mailboxes) {
      Snapshot entry{name, mailbox, {}, 0};
      for (const auto& hold : holds) entry.holders.emplace_back(hold.holder, hold.kind);
      for (const auto& ticket : scope.waiting)
        for (const auto& request : ticket->requests)
          if (request.key.scope == name && request.key.mailbox == mailbox) ++entry.waiting;
      all.push_back(std::move(entry));
    }
  }
  return all;
}

uint64_t MailboxArbiter::held() const {
  const std::lock_guard lock(mutex_);
  uint64_t count = 0;
  for (const auto& [holder, keys] : held_by_) count += keys.size();
  return count;
}

uint64_t MailboxArbiter::waiting() const {
  const std::lock_guard lock(mutex_);
  return static_cast<uint64_t>(std::count_if(waits_of_.begin(), waits_of_.end(), [](const auto& wait) {
    return wait.first == wait.second->holder;
  }));
}

}  // namespace imapmux::mailbox
