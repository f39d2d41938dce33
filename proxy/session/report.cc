// What a worker tells of its sessions and accounts.
#include <algorithm>

#include "session/snapshot.h"

namespace imapmux::session {
namespace {

// The first `most` by `before`.
template <class T, class Before>
void keep_first(std::vector<const T*>& all, size_t most, Before before) {
  if (all.size() <= most) return;
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(most), all.end(), before);
  all.resize(most);
}

bool more_telling(const Session* a, const Session* b) {
  return std::pair(a->waits(), a->last_heard()) > std::pair(b->waits(), b->last_heard());
}

void count(const Session& session, WorkerReport& report) {
  ++report.clients_by_state[static_cast<size_t>(session.state())];
  if (session.waits()) ++report.clients_waiting;
  if (session.state() != State::kRelaying) return;
  auto& totals = report.totals;
  std::string backend(session.backend_name());
  ++totals.sessions[backend];
  ++totals.connections[{std::move(backend), session.server_name()}][mailbox::ConnectionState::kRelaying];
}

}  // namespace

WorkerReport report(const base::IntrusiveList<Session>& sessions, const mailbox::SharedAccounts& accounts,
                    Detail detail) {
  WorkerReport report;
  std::vector<const Session*> told;
  sessions.for_each([&](const Session& session) {
    count(session, report);
    told.push_back(&session);
  });
  keep_first(told, detail.most, more_telling);
  report.sessions.reserve(told.size());
  for (const auto* session : told) report.sessions.push_back(session->status());

  struct Ranked {
    const mailbox::SharedAccount* account;
    std::pair<bool, size_t> rank;
  };
  std::vector<Ranked> ranked;
  accounts.for_each([&](const mailbox::SharedAccount& account) {
    account.count(report.totals);
    if (detail.most > 0) ranked.push_back({&account, {account.anybody_waits(), account.members()}});
  });
  if (ranked.size() > detail.most) {
    const auto end = ranked.begin() + static_cast<std::ptrdiff_t>(detail.most);
    std::partial_sort(ranked.begin(), end, ranked.end(),
                      [](const Ranked& a, const Ranked& b) { return a.rank > b.rank; });
    ranked.resize(detail.most);
  }
  for (const auto& one : ranked) report.accounts.push_back(one.account->status());
  return report;
}

bool KickWish::means(const Session& one) const {
  if (user.empty()) return one.id() == session;
  return one.user() == user || one.login_name() == user;
}

void WorkerReport::add(WorkerReport other) {
  std::move(other.sessions.begin(), other.sessions.end(), std::back_inserter(sessions));
  std::move(other.accounts.begin(), other.accounts.end(), std::back_inserter(accounts));
  totals.add(other.totals);
  for (size_t i = 0; i < kStates; ++i) clients_by_state[i] += other.clients_by_state[i];
  clients_waiting += other.clients_waiting;
}

// The workers have chosen their own: of these, as many as one would have.
void WorkerReport::trim(Detail detail) {
  if (sessions.size() > detail.most) {
    const auto end = sessions.begin() + static_cast<std::ptrdiff_t>(detail.most);
    std::partial_sort(sessions.begin(), end, sessions.end(), [](const auto& a, const auto& b) {
      return std::pair(a.waiting_for.empty(), a.idle) < std::pair(b.waiting_for.empty(), b.idle);
    });
    sessions.erase(end, sessions.end());
  }
  if (accounts.size() > detail.most) {
    const auto end = accounts.begin() + static_cast<std::ptrdiff_t>(detail.most);
    std::partial_sort(accounts.begin(), end, accounts.end(), [](const auto& a, const auto& b) {
      return std::pair(a.anybody_waits, a.sessions) > std::pair(b.anybody_waits, b.sessions);
    });
    accounts.erase(end, accounts.end());
  }
  std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
}

}  // namespace imapmux::session
