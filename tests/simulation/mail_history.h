// The truth: what has been in the mailboxes of the legacy server, and when. Every answer that a client gets
// is held against it.
//
// It watches the MailStore, which tells of every change, whoever makes it: a connection of the proxy, or the
// simulation itself. One per run, owned by the Simulation.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demo/store.h"
#include "simulation/moment.h"

namespace imapmux::simulation {

// A message, from its delivery on; it stays here when it is expunged.
struct Mail {
  struct FlagsSince {
    Moment since;
    demo::Flags flags;
  };

  demo::Message message;  // as it is now, or was last
  std::string token;      // in its subject and its body; its copies have the same
  Moment born;
  std::optional<Moment> gone;
  std::vector<FlagsSince> flags;  // all it ever had; the last are those it has

  uint32_t uid() const { return message.uid; }
  bool alive() const { return !gone; }
  const std::string& octets() const { return *message.octets; }
  Moment flags_changed() const { return flags.back().since; }
  // Whether it had these flags at some time from `from` on: the first moment when it did.
  std::optional<Moment> had(const demo::Flags& wanted, Moment from) const;
};

// Every message has a token of its own ("tok-17."), so that it is known by its text.
std::string token(uint32_t number);
// The first one in the text; empty if there is none.
std::string find_token(std::string_view text);

// Of one mailbox, as long as it has one UIDVALIDITY.
class MailboxHistory {
 public:
  MailboxHistory(std::string user, std::string name, demo::MailboxId id, Moment begun = {})
      : user_(std::move(user)), name_(std::move(name)), id_(id), begun_(begun) {}

  struct Change {
    enum class Kind : uint8_t { kBorn, kGone, kFlags };
    Kind kind;
    const Mail& mail;
    demo::Flags before;  // kFlags
  };
  using Listener = std::function<void(const MailboxHistory&, const Change&)>;

  bool has_another_identity(const demo::MailStore& store) const;
  // It has: from here on nothing changes in this one.
  void retire(Moment when) { retired_ = when; }
  const std::optional<Moment>& retired() const { return retired_; }
  Moment begun() const { return begun_; }
  // Takes over what has changed, and tells it.
  void look(const demo::MailStore& store, Moments& moments, const Listener& listener);

  const std::string& user() const { return user_; }
  const std::string& name() const { return name_; }
  demo::MailboxId id() const { return id_; }
  uint32_t uid_validity() const { return uid_validity_; }
  uint32_t uid_next() const { return static_cast<uint32_t>(mails_.size()) + 1; }
  Moment changed() const { return changed_; }
  // UIDs of what is there, ascending.
  const std::vector<uint32_t>& alive() const { return alive_; }
  // Null if there never was one.
  const Mail* find(uint32_t uid) const;
  // UIDs that have this token, gone ones too.
  const std::vector<uint32_t>& with_token(const std::string& token) const;
  // How many were born before, and are there still.
  uint32_t alive_since(Moment before) const;

 private:
  std::string user_;
  std::string name_;
  demo::MailboxId id_;
  Moment begun_;
  std::optional<Moment> retired_;
  uint64_t revision_ = 0;
  uint32_t uid_validity_ = 0;
  Moment changed_;
  std::vector<Mail> mails_;  // of UID 1, 2, 3, …: the legacy server leaves none out
  std::vector<uint32_t> alive_;
  std::map<std::string, std::vector<uint32_t>> by_token_;
};

class MailHistory {
 public:
  MailHistory(demo::MailStore& store, Moments& moments) : store_(store), moments_(moments) {}

  // Mailboxes have to be there, and are not renamed or deleted.
  MailboxHistory& add(const std::string& user, const std::string& mailbox);
  void set_listener(MailboxHistory::Listener listener) { listener_ = std::move(listener); }
  // To be called after every change of the store.
  void look();

  // Null if there is none.
  MailboxHistory* find(const std::string& user, const std::string& mailbox);
  std::vector<MailboxHistory*> of_user(const std::string& user);

 private:
  demo::MailStore& store_;
  Moments& moments_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<MailboxHistory>> mailboxes_;
  std::vector<std::unique_ptr<MailboxHistory>> retired_;  // which clients may still have open
  MailboxHistory::Listener listener_;
};

}  // namespace imapmux::simulation
