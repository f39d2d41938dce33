// Some accounts of a process that is taken over from, or all of them. A value.
#pragma once

#include <compare>
#include <string>

namespace imapmux::mailbox {

struct AccountSet {
  std::string backend;  // empty: all accounts of all backends
  std::string user;     // the login name in lower case, as in MailboxKey; empty: all of the backend
  friend auto operator<=>(const AccountSet&, const AccountSet&) = default;
};

}  // namespace imapmux::mailbox
