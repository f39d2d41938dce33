#include "mailbox/mailbox_key.h"

#include <re2/re2.h>

#include <algorithm>

#include "base/bytes.h"
#include "wire/mailbox_name.h"

namespace imapmux::mailbox {

MailboxNaming::MailboxNaming(const config::Backend& backend, std::string_view account, char delimiter)
    : backend_(backend.name), account_(base::lower(account)), delimiter_(delimiter) {
  for (const auto& name : backend.shared_namespaces) {
    std::string prefix = wire::canonical_mailbox_name(name, delimiter);
    if (delimiter && name.ends_with(delimiter)) prefix += delimiter;  // which the canonical form has dropped
    shared_.push_back(std::move(prefix));
  }
  for (const auto& alias : backend.mailbox_aliases)
    aliases_.push_back(
        {std::make_unique<RE2>("\\A(?:" + alias.match + ")\\z"), alias.key, alias.user});  // the whole name
}

MailboxNaming::~MailboxNaming() = default;

MailboxKey MailboxNaming::key(std::string_view name) const {
  std::string mailbox = wire::canonical_mailbox_name(name, delimiter_);
  std::string user = account_;
  for (const auto& alias : aliases_) {
    std::string target;
    if (!RE2::Extract(mailbox, *alias.match, alias.key, &target)) continue;
    std::string other;
    if (!alias.user.empty() && RE2::Extract(mailbox, *alias.match, alias.user, &other))
      user = base::lower(other);
    mailbox = wire::canonical_mailbox_name(target, delimiter_);
    break;
  }
  const bool shared = std::any_of(shared_.begin(), shared_.end(),
                                  [&](const std::string& prefix) { return mailbox.starts_with(prefix); });
  // NUL cannot stand in a name, so the parts cannot be confused.
  std::string scope = backend_;
  scope += '\0';
  if (!shared) scope += "u" + user;
  return {std::move(scope), std::move(mailbox), delimiter_};
}

}  // namespace imapmux::mailbox
