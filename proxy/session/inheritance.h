// What a process that takes over from another one (`serve --takeover`) has of it, and has not: at no time may
// both have a mailbox or the places of a user. So nothing of an account is touched here before the other
// process has given it up, which it is asked for at the first login.
//
// Part of Shared, thread-safe. Knows nothing of how the processes talk.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "config/config.h"
#include "mailbox/account_set.h"

namespace imapmux::session {

class Inheritance {
 public:
  // Asks the other process for accounts. Called once for each set, from any thread, no lock held.
  using Ask = std::function<void(const mailbox::AccountSet&)>;
  // `theirs`: what description() says of the backends of the other process, by name.
  Inheritance(std::map<std::string, std::string> theirs, Ask ask)
      : theirs_(std::move(theirs)), ask_(std::move(ask)) {}

  // Whether the other process has given the account up, or never had it. Asks for it if need be.
  bool has(const config::Backend& backend, std::string_view login_name);
  void given(mailbox::AccountSet accounts);
  // The other process has ended, or gives nothing more since it has nothing left.
  void given_all();
  bool complete() const { return complete_.load(std::memory_order_relaxed); }

  // What must be the same on both sides for an account of the one to be the account of the other.
  static std::string description(const config::Backend& backend);

 private:
  mailbox::AccountSet needed(const config::Backend& backend, std::string_view login_name) const;

  const std::map<std::string, std::string> theirs_;
  const Ask ask_;
  std::atomic<bool> complete_ = false;
  std::mutex mutex_;
  std::set<mailbox::AccountSet> asked_;  // guarded by mutex_
  std::set<mailbox::AccountSet> given_;  // guarded by mutex_
};

// Whether sessions of a backend's users can be in each other's way: by shared mailboxes, or names of other
// users' mailboxes.
bool shares_between_users(const config::Backend& backend);

}  // namespace imapmux::session
