// The process-wide table of leases: nothing that opens a mailbox reaches a backend without one.
//
// Tickets: a command asks for all mailboxes it needs at once and gets all or none, in the order of the
// tickets. Who holds nothing waits behind every earlier ticket that wants the same mailbox; who already holds
// a lease waits for holders only, so that it comes to its end and gives back sooner. Cycles: a wait that
// would close a cycle of holders who give nothing back is refused at once: it would never end. Beside the
// leases it knows which mailboxes clients have open, with a lease just now or without.
//
// One per process, thread-safe (a mutex: once per SELECT, not per octet). Knows neither sockets nor loops:
// whoever waits is told by a callback, from the thread that gave the lease back, with no lock held.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "mailbox/lease.h"

namespace imapmux::mailbox {

class MailboxArbiter {
 public:
  enum class Verdict : uint8_t {
    kGranted,
    kWaiting,   // `granted` will be called, unless it is withdrawn first
    kDeadlock,  // the wait would never end
    kOpen,      // DELETE or RENAME of what others have open (RFC 2180, 3.1: refuse)
  };

  // One command's wish. Shared with the arbiter while it waits.
  struct Ticket {
    HolderId holder = 0;
    std::vector<LeaseRequest> requests;
    ConflictRule rule = ConflictRule::kSingleAccess;
    // A command that keeps what its connection holds (COPY) passes those who hold nothing; one that gives it
    // up (SELECT) takes its place in the line.
    enum class Place : uint8_t { kInLine, kAsHolder } place = Place::kInLine;
    // Gentle: nobody is to give back anything for its sake (polls).
    enum class Manner : uint8_t { kInsisting, kGentle } manner = Manner::kInsisting;
    // Of the mailbox that the one who asks has open: unless it yields, it is kept as long as he waits. 0:
    // none.
    HolderId own = 0;
    // Who looks at mailboxes, see looked_at(): what is open for the same account is not open elsewhere.
    AccountId account = 0;
    std::function<void()> granted;  // called at most once

   private:
    friend class MailboxArbiter;
    enum class State : uint8_t { kNew, kWaiting, kGranted, kWithdrawn };
    State state = State::kNew;  // guarded by the arbiter's mutex
    uint64_t number = 0;
  };

  // From now on the holder gives back what others wait for: `wanted` is called whenever somebody waits for
  // it, from any thread, with no lock held, also repeatedly; a wait for such a holder closes no cycle.
  void yields(HolderId holder, std::function<void()> wanted);
  // It does so no more, and `wanted` is not called once this has returned on the holder's thread.
  void yields_no_more(HolderId holder);
  // Whether somebody waits for what it holds.
  bool is_wanted(HolderId holder) const;

  // Clients of the account have the mailbox open, or are about to, whether or not it has a lease just now.
  void looked_at(AccountId account, const MailboxKey& key);
  void looked_at_no_more(AccountId account, const MailboxKey& key);
  // Whether other accounts than the ticket's have open what it wants to DELETE or RENAME, or something below.
  bool is_open(const Ticket& ticket) const;

  // Requests for what it holds already are granted as they are, and
  // the kind is raised where the new one is stronger (Examine to Select).
  Verdict request(const std::shared_ptr<Ticket>& ticket);
  // Gives up a wait. False: it was granted meanwhile, and the caller must release what it got.
  bool withdraw(const std::shared_ptr<Ticket>& ticket);
  // Makes a lease that is held what it is from now on; a weaker one lets others in.
  void settle(HolderId holder, const MailboxKey& key, LeaseKind kind);
  // Gives one lease back. Unknown ones are ignored.
  void release(HolderId holder, const MailboxKey& key);
  // Gives back all but `keep` (may be null).
  void release_all(HolderId holder, const MailboxKey* keep = nullptr);

  struct Snapshot {
    std::string scope;
    std::string mailbox;
    std::vector<std::pair<HolderId, LeaseKind>> holders;
    size_t waiting = 0;
  };
  std::vector<Snapshot> snapshot() const;
  uint64_t held() const;
  uint64_t waiting() const;

 private:
  struct Hold {
    HolderId holder;
    LeaseKind kind;
    ConflictRule rule;
  };
  using Tickets = std::list<std::shared_ptr<Ticket>>;
  struct Scope {
    std::map<std::string, std::vector<Hold>> mailboxes;  // ordered: inferiors of a name are neighbours
    Tickets waiting;                                     // in the order of their numbers
    std::map<std::string, std::set<AccountId>> looked_at;
    bool empty() const { return mailboxes.empty() && waiting.empty() && looked_at.empty(); }
  };

  // Calls visit(Hold&) for every hold of another holder that conflicts.
  template <class Visit>
  void for_each_blocker(const Ticket& ticket, const LeaseRequest& request, Visit visit) const;
  bool blocked_by_holders(const Ticket& ticket) const;
  bool behind_earlier(const Ticket& ticket) const;
  bool holds_anything(HolderId holder) const { return held_by_.contains(holder); }
  bool open_elsewhere(const Ticket& ticket) const;
  bool closes_cycle(const Ticket& ticket) const;
  void grant(Ticket& ticket);
  void enqueue(const std::shared_ptr<Ticket>& ticket);
  using Calls = std::vector<std::shared_ptr<std::function<void()>>>;
  // Those who hold what somebody waits for, and give it back.
  Calls wanted_in(const std::set<std::string>& scopes) const;
  void dequeue(const Ticket& ticket);
  void drop(HolderId holder, const MailboxKey& key);
  // Who is to be told, after the mutex is free.
  struct Outcome {
    Tickets granted;
    Calls wanted;
  };
  // Grants what has become possible in these scopes.
  Outcome regrant(const std::set<std::string>& scopes);
  static void tell(const Outcome& outcome);

  mutable std::mutex mutex_;
  uint64_t numbers_ = 0;
  std::unordered_map<std::string, Scope> scopes_;
  std::unordered_map<HolderId, std::vector<MailboxKey>> held_by_;
  std::unordered_multimap<HolderId, std::shared_ptr<Ticket>> waits_of_;
  std::unordered_map<HolderId, std::shared_ptr<std::function<void()>>> yields_;
};

}  // namespace imapmux::mailbox
