#include "session/inheritance.h"

#include <fmt/format.h>

#include <algorithm>

namespace imapmux::session {

bool shares_between_users(const config::Backend& backend) {
  return !backend.shared_namespaces.empty() ||
         std::any_of(backend.mailbox_aliases.begin(), backend.mailbox_aliases.end(),
                     [](const auto& alias) { return !alias.user.empty(); });
}

std::string Inheritance::description(const config::Backend& backend) {
  auto text =
      fmt::format("access {} conflicts {} places {} connections {}", static_cast<int>(backend.access),
                  static_cast<int>(backend.conflicts), backend.connections_per_user, backend.max_connections);
  for (const auto& server : backend.servers) text += " server " + server.to_string();
  for (const auto& prefix : backend.shared_namespaces) text += " shared " + prefix;
  for (const auto& alias : backend.mailbox_aliases)
    text += " alias " + alias.match + " is " + alias.key + " of " + alias.user;
  return text;
}

// What the other process has to give up before a login of this account goes on. Where the backends of the two
// are not the same, a mailbox may have another name there, or be another user's: then all of it.
mailbox::AccountSet Inheritance::needed(const config::Backend& backend, std::string_view login_name) const {
  const auto found = theirs_.find(backend.name);
  if (found == theirs_.end() || found->second != description(backend)) return {};
  if (shares_between_users(backend)) return {backend.name, {}};
  return {backend.name, base::lower(login_name)};
}

bool Inheritance::has(const config::Backend& backend, std::string_view login_name) {
  if (complete()) return true;
  const bool nothing_to_share =
      backend.access == config::MailboxAccess::kUnrestricted && backend.connections_per_user == 0;
  auto accounts = needed(backend, login_name);
  if (nothing_to_share && !accounts.backend.empty()) return true;
  {
    const std::lock_guard lock(mutex_);
    if (given_.contains(accounts)) return true;
    if (!asked_.insert(accounts).second) return false;
  }
  ask_(accounts);
  return false;
}

void Inheritance::given(mailbox::AccountSet accounts) {
  const std::lock_guard lock(mutex_);
  given_.insert(std::move(accounts));
}

void Inheritance::given_all() {
  complete_ = true;
}

}  // namespace imapmux::session
