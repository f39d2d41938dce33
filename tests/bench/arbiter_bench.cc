// What a lease costs: once per SELECT, under a mutex that all workers share.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "mailbox/arbiter.h"

namespace imapmux::mailbox {
namespace {

using Ticket = MailboxArbiter::Ticket;

MailboxKey key(int64_t scope, int64_t mailbox) {
  return {"backend user" + std::to_string(scope) + "@example.org", "Folder/" + std::to_string(mailbox), '/'};
}

std::shared_ptr<Ticket> ticket_of(HolderId holder, MailboxKey wanted) {
  auto ticket = std::make_shared<Ticket>();
  ticket->holder = holder;
  ticket->requests = {{std::move(wanted), LeaseKind::kSelect}};
  ticket->granted = [] {};
  return ticket;
}

void acquire_and_release(MailboxArbiter& arbiter, benchmark::State& state, const MailboxKey& wanted) {
  for ([[maybe_unused]] auto _ : state) {
    if (arbiter.request(ticket_of(1, wanted)) != MailboxArbiter::Verdict::kGranted)
      state.SkipWithError("not granted");
    arbiter.release(1, wanted);
  }
}

void lease_of_a_free_mailbox(benchmark::State& state) {
  MailboxArbiter arbiter;
  acquire_and_release(arbiter, state, key(0, 0));
}
BENCHMARK(lease_of_a_free_mailbox);

// Others have so many leases, each an account's only one.
void lease_beside_accounts(benchmark::State& state) {
  MailboxArbiter arbiter;
  for (int64_t i = 1; i <= state.range(0); ++i)
    arbiter.request(ticket_of(static_cast<HolderId>(1 + i), key(i, 0)));
  acquire_and_release(arbiter, state, key(0, 0));
}
BENCHMARK(lease_beside_accounts)->Arg(10)->Arg(1'000)->Arg(100'000);

// The same account has so many mailboxes open.
void lease_beside_mailboxes(benchmark::State& state) {
  MailboxArbiter arbiter;
  for (int64_t i = 1; i <= state.range(0); ++i)
    arbiter.request(ticket_of(static_cast<HolderId>(1 + i), key(0, i)));
  acquire_and_release(arbiter, state, key(0, 0));
}
BENCHMARK(lease_beside_mailboxes)->Arg(10)->Arg(1'000)->Arg(100'000);

// Two who hold a mailbox in turn, while so many wait for another one of the same shared namespace.
void lease_beside_waiters(benchmark::State& state) {
  MailboxArbiter arbiter;
  arbiter.request(ticket_of(2, key(0, 1)));
  for (int64_t i = 0; i < state.range(0); ++i)
    arbiter.request(ticket_of(static_cast<HolderId>(3 + i), key(0, 1)));
  acquire_and_release(arbiter, state, key(0, 0));
}
BENCHMARK(lease_beside_waiters)->Arg(10)->Arg(100)->Arg(1'000);

// The mailbox itself goes round among so many: who has had it waits again behind the others.
void lease_goes_round(benchmark::State& state) {
  MailboxArbiter arbiter;
  const auto wanted = key(0, 0);
  HolderId last = 0;
  HolderId now = 1;
  for (; last < static_cast<HolderId>(state.range(0)); ++last) arbiter.request(ticket_of(last + 1, wanted));
  for ([[maybe_unused]] auto _ : state) {
    arbiter.request(ticket_of(++last, wanted));
    arbiter.release(now++, wanted);
  }
}
BENCHMARK(lease_goes_round)->Arg(2)->Arg(100)->Arg(1'000);

// All of them give up, as when a backend is gone: per waiter.
void waiters_withdraw(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    MailboxArbiter arbiter;
    std::vector<std::shared_ptr<Ticket>> tickets;
    for (int64_t i = 0; i <= state.range(0); ++i) {
      tickets.push_back(ticket_of(static_cast<HolderId>(1 + i), key(0, 0)));
      arbiter.request(tickets.back());
    }
    state.ResumeTiming();
    for (size_t i = 1; i < tickets.size(); ++i) arbiter.withdraw(tickets[i]);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(waiters_withdraw)->Arg(10)->Arg(1'000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace imapmux::mailbox

BENCHMARK_MAIN();
