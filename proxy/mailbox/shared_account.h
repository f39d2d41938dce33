// What sessions of one user share: verified credentials, backend connections (at most K), open mailboxes.
// With `exclusive` access each session has such an account to itself, with one connection.
//
// Owned by its worker's SharedAccounts, on that thread. It lives from the first login until `account_linger`
// after its last session (a private one ends with its session), or until the worker stops; then it logs out
// of the backend. Sessions are members meanwhile.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task_scope.h"
#include "auth/credential_cache.h"
#include "auth/sasl.h"
#include "mailbox/account.h"
#include "mailbox/back_off.h"
#include "mailbox/mailbox_key.h"
#include "mailbox/shared_connection.h"
#include "mailbox/shared_mailbox.h"
#include "mailbox/workplace.h"

namespace imapmux::mailbox {

// A session of the account.
class Member : public base::ListNode {
 public:
  // RFC 3501, 7.1: to be shown to the user. A whole untagged response.
  virtual void on_alert(std::string_view line) noexcept = 0;

 protected:
  ~Member() = default;
};

class SharedAccount final : private SharedConnection::Owner, private async::ReadyNode {
 public:
  // Whose it is: all sessions' of the user, or one session's, who shares nothing.
  enum class Kind : uint8_t { kShared, kPrivate };
  // `places`: for its connections. Of a private one nobody else takes any.
  SharedAccount(Workplace& workplace, std::shared_ptr<Account> places,
                std::shared_ptr<backend::BackendServers> servers, std::string login_name, Kind kind);
  ~SharedAccount();

  // All of its life, for SharedAccounts; returns when every connection is closed and every lease given back.
  async::Task<> live();
  void close();  // now
  bool closing() const { return closing_; }

  void join(Member& member);
  void leave(Member& member);
  size_t members() const { return members_.size(); }

  auth::CredentialCache& credentials() { return credentials_; }
  // The settings of a reload, for what is done from here on.
  void use(std::shared_ptr<backend::BackendServers> servers);
  // A login of its own verified this credential: the connection stays. `place`: one of the user's K; a
  // private account keeps it for all of its life, also while it has no connection.
  void adopt(std::unique_ptr<backend::BackendConnection> connection, Account::Slot place,
             auth::Credential credential);
  // Somebody waits for one of the K places to verify a credential: a connection that nobody needs is closed,
  // else that of the mailbox idle longest.
  class RoomWish {
   public:
    explicit RoomWish(SharedAccount& account);
    ~RoomWish();
    RoomWish(const RoomWish&) = delete;
    RoomWish& operator=(const RoomWish&) = delete;

   private:
    SharedAccount& account_;
  };

  // What was found, or why not, fit behind a tag.
  struct Found {
    std::shared_ptr<SharedConnection> connection;
    std::string problem;
  };
  // A connection for a command that needs no mailbox open; its turn is the caller's to ask for.
  async::Task<Found> connection_for_command();
  // A connection for a mailbox, which it is attached to from then on. `gentle`: only where nobody else is
  // disturbed. `give_up` is asked after every change().
  enum class Manner : uint8_t { kGentle, kInsisting };
  async::Task<Found> connection_for(SharedMailbox& mailbox, Manner manner, std::function<bool()> give_up);
  // A party is going.
  void leave_connections(Party& party);

  // Learns the hierarchy delimiter once; false: the backend did not tell, or can't be reached. Then naming()
  // works.
  async::Task<bool> know_names();
  const MailboxNaming& naming() const { return *naming_; }
  char delimiter() const { return delimiter_; }
  // The open mailbox of this key; made if it is not there: `name` is what the backend is asked for.
  std::shared_ptr<SharedMailbox> mailbox(const MailboxKey& key, std::string_view name);
  // Null if it is not open.
  std::shared_ptr<SharedMailbox> find(const MailboxKey& key) const;
  // Those below it in the hierarchy that are open.
  std::vector<std::shared_ptr<SharedMailbox>> inferiors(const MailboxKey& key) const;
  // Held while messages are copied between two open mailboxes: two such commands at once could wait for each
  // other.
  bool copying() const { return copying_; }
  void set_copying(bool copying);
  // Held while a command on the user's subscriptions runs: GNU imap4d locks their file and refuses who comes
  // second.
  bool subscribing() const { return subscribing_; }
  void set_subscribing(bool subscribing);
  // Notified with what connection_for() and others wait for.
  async::WaitList& changes() { return changed_; }
  void changed() { changed_.notify_all(); }

  const backend::Capabilities& capabilities() const { return capabilities_; }
  const config::Backend& config() const { return servers_->config(); }
  const std::string& login_name() const { return login_name_; }
  AccountId id() const { return id_; }  // for the arbiter
  Workplace& workplace() { return workplace_; }
  size_t connections() const { return connections_.size(); }
  std::vector<std::shared_ptr<SharedMailbox>> mailboxes() const;

 private:
  async::TaskScope& tasks() override { return tasks_; }
  base::Millis min_hold() const override { return config().min_hold; }
  void on_connection_lost(SharedConnection& connection, const std::string& reason) noexcept override;
  void on_connection_free() noexcept override;
  void on_alert(std::string_view line) noexcept override;
  void run() override;  // frees what was lost

  struct Wish : base::ListNode {};

  void add(std::unique_ptr<backend::BackendConnection> connection, Account::Slot place);
  uint32_t most_connections() const;
  base::Millis linger() const;
  bool can_open() const;
  async::Task<> wait_for_change(base::Instant deadline);
  void open_another();
  async::Task<> open(Account::Slot place);
  // `busy`: how long a server may be at work before it closes.
  void dismiss(std::shared_ptr<SharedConnection> connection, base::Millis busy);
  async::Task<> close_one(std::shared_ptr<SharedConnection> connection, base::Millis busy);
  async::Task<> keep(std::shared_ptr<SharedMailbox> mailbox);
  void make_room();
  std::shared_ptr<SharedMailbox> idle_longest(Manner manner, const SharedMailbox* except) const;
  bool needed() const;

  Workplace& workplace_;
  const Kind kind_;
  const AccountId id_;
  Account::Slot session_place_;  // of a private one
  std::shared_ptr<Account> places_;
  std::shared_ptr<backend::BackendServers> servers_;
  const std::string login_name_;
  auth::CredentialCache credentials_;
  std::optional<auth::Credential> credential_;  // to connect with
  backend::Capabilities capabilities_;
  std::vector<std::shared_ptr<SharedConnection>> connections_;
  std::vector<std::shared_ptr<SharedConnection>> lost_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<SharedMailbox>> mailboxes_;
  base::IntrusiveList<Member> members_;
  std::unique_ptr<MailboxNaming> naming_;
  char delimiter_ = 0;
  base::IntrusiveList<Wish> wishes_;  // of mailboxes, for a connection
  bool opening_ = false;
  uint64_t openings_ = 0;  // that have ended
  std::string opening_problem_;
  bool refused_ = false;  // the last opening: the server was there, and did not want the user
  BackOff back_off_;
  size_t room_wishes_ = 0;
  size_t closing_connections_ = 0;
  bool copying_ = false;
  bool subscribing_ = false;
  bool closing_ = false;
  async::WaitList changed_;
  async::TaskScope tasks_;
};

}  // namespace imapmux::mailbox
