// What all connections of one legacy server share: its mail, its users, its quirks, the list of its sessions.
//
// Made by the net glue (or a test) before the first session and destroyed behind the last one. Everything
// runs on one thread, except store() and violations(), which any thread may use.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "demo/quirks.h"
#include "demo/store.h"

namespace imapmux::demo {

class LegacySession;

struct ServerOptions {
  Quirks quirks;
  std::map<std::string, std::string> users;  // user to password; their mailboxes exist from the start
  bool accept_any_user = false;              // others are made by their first login
  std::string any_password;                  // of those; empty: the password is the user's name
  // Asked at each login; not empty: the answer of a server that takes nobody just then ("NO …").
  std::function<std::string()> login_refusal;
  bool starttls = false;  // offered; SessionOutput::start_tls() must work
  // What every user begins with besides an empty INBOX (see sample_mail.h); empty: nothing.
  std::function<void(MailStore& store, const std::string& user)> furnish;
  size_t max_message = size_t{64} << 20;  // octets of an APPEND
  uint32_t first_uid_validity = 0;        // see MailStore
};

class LegacyServer {
 public:
  explicit LegacyServer(ServerOptions options);
  ~LegacyServer();
  LegacyServer(const LegacyServer&) = delete;
  LegacyServer& operator=(const LegacyServer&) = delete;

  const ServerOptions& options() const { return options_; }
  const Quirks& quirks() const { return options_.quirks; }
  MailStore& store() { return store_; }
  Violations& violations() { return violations_; }

  // Tells idling sessions what changed. The glue calls it some time after MailStore's listener was called;
  // sessions call it themselves behind each of their commands.
  void on_tick();
  // Connections that are open, and those of them that have this mailbox selected.
  size_t open_sessions() const;
  size_t sessions_in(const std::string& user, const std::string& mailbox) const;
  // Closes every session with a BYE.
  void shut_down();

 private:
  friend class LegacySession;

  void add(LegacySession* session);
  void remove(LegacySession* session);
  // Makes the user where that is due.
  bool check_password(const std::string& user, std::string_view password);
  // Open sessions other than `except` that have the mailbox selected, as far as they count
  // (Quirks::examine_counts).
  std::vector<LegacySession*> holders(MailboxId mailbox, const LegacySession* except) const;
  size_t sessions_of_user(const std::string& user) const;
  size_t sessions_from(const std::string& address) const;
  void make_user(const std::string& user);

  const ServerOptions options_;
  MailStore store_;
  Violations violations_;
  std::vector<LegacySession*> sessions_;  // not owned; each adds and removes itself
};

}  // namespace imapmux::demo
