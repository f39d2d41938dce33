// SharedAccount and what is in it, as the admin endpoint shows it.
#include "mailbox/account_status.h"

#include <algorithm>

#include "mailbox/shared_account.h"

namespace imapmux::mailbox {

std::string_view name_of(ConnectionState state) {
  switch (state) {
    case ConnectionState::kFree:
      return "free";
    case ConnectionState::kBusy:
      return "busy";
    case ConnectionState::kIdling:
      return "idling";
    case ConnectionState::kRelaying:
      return "relaying";
  }
  return "";
}

void AccountTotals::add(const AccountTotals& other) {
  for (const auto& [key, theirs] : other.connections) {
    auto& ours = connections[key];
    for (size_t i = 0; i < kConnectionStates; ++i) ours.in[i] += theirs.in[i];
  }
  for (const auto& [backend, count] : other.sessions) sessions[backend] += count;
  accounts += other.accounts;
  mailboxes_attached += other.mailboxes_attached;
  mailboxes_suspended += other.mailboxes_suspended;
  ghosts += other.ghosts;
}

ConnectionState SharedConnection::state() const {
  if (resting_) return ConnectionState::kIdling;
  return free() ? ConnectionState::kFree : ConnectionState::kBusy;
}

MailboxStatus SharedMailbox::status() const {
  MailboxStatus status;
  status.name = key_.mailbox;
  status.holder = holder_;
  status.attached = attached_;
  status.for_writing = attached_for_writing();
  status.attaching = attach_under_way_;
  status.messages = table_.known();
  status.clients = viewers_.size();
  status.idling = viewers_.idlers();
  viewers_.for_each([&](const Viewer& viewer) { status.ghosts += viewer.view.ghosts(); });
  return status;
}

AccountStatus SharedAccount::status() const {
  const auto now = workplace_.scheduler().now();
  AccountStatus status;
  status.backend = config().name;
  status.login_name = login_name_;
  status.is_private = kind_ == Kind::kPrivate;
  status.anybody_waits = anybody_waits();
  status.sessions = member_count_;
  status.most_connections = status.is_private ? 1 : most_connections();
  for (const auto& connection : connections_) {
    const auto* on_it = mailbox_on(*connection);
    const auto* server = connection->server();
    status.connections.push_back(
        {.server = server ? server->endpoint.to_string() : "",
         .state = connection->state(),
         .mailbox = on_it ? on_it->key().mailbox : "",
         .waiting = connection->waiting(),
         .age = std::chrono::duration_cast<base::Millis>(now - connection->opened_at())});
  }
  for (const auto& [key, mailbox] : mailboxes_) status.mailboxes.push_back(mailbox->status());
  return status;
}

void SharedAccount::count(AccountTotals& totals) const {
  ++totals.accounts;
  totals.sessions[config().name] += member_count_;
  for (const auto& connection : connections_) {
    const auto* server = connection->server();
    if (server) ++totals.connections[{config().name, server->endpoint.to_string()}][connection->state()];
  }
  for (const auto& [key, mailbox] : mailboxes_) {
    const auto status = mailbox->status();
    ++(status.attached ? totals.mailboxes_attached : totals.mailboxes_suspended);
    totals.ghosts += status.ghosts;
  }
}

// Something of it waits for a lease, a connection or a turn.
bool SharedAccount::anybody_waits() const {
  if (!wishes_.empty()) return true;
  for (const auto& [key, mailbox] : mailboxes_)
    if (mailbox->attaching()) return true;
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& connection) { return connection->waiting() > 0; });
}

}  // namespace imapmux::mailbox
