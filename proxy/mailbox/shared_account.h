// What sessions of one user share: verified credentials, backend connections (at most K), open mailboxes.
// With `exclusive` access each session has such an account to itself, with one connection.
//
// Owned by its worker's SharedAccounts, on that thread. It lives from the first login until `account_linger`
// after its last session (a private one ends with its session), or until the worker stops; then it logs out
// of the backend. Sessions are members meanwhile.
#pragma once

#include <list>
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
  // What it logged in with.
  virtual const auth::CredentialCache::Digest& credential() const noexcept = 0;
  // For connections that are opened on its behalf; nothing once the client has gone.
  virtual backend::MaybeOrigin origin() const noexcept = 0;
  // The backend does not accept that any more.
  virtual void on_credential_refused() noexcept = 0;
  // RFC 3501, 7.1: to be shown to the user. A whole untagged response.
  virtual void on_alert(std::string_view line) noexcept = 0;

 protected:
  ~Member() = default;
};

class SharedAccounts;

class SharedAccount final : private SharedConnection::Owner,
                            private async::ReadyNode,
                            private Account::Watcher {
 public:
  // Whose it is: all sessions' of the user, or one session's, who shares nothing.
  enum class Kind : uint8_t { kShared, kPrivate };
  // `places`: for its connections. Of a private one nobody else takes any.
  SharedAccount(SharedAccounts& accounts, Workplace& workplace, std::shared_ptr<Account> places,
                std::shared_ptr<backend::BackendServers> servers, std::string login_name, Kind kind);
  ~SharedAccount();

  // All of its life, for SharedAccounts; returns when every connection is closed and every lease given back.
  async::Task<> live();
  // The proxy stops: what is being opened is broken off, and who is busy is not waited for.
  void close();
  // Nobody needs it: it ends now, in good order, not after `account_linger`.
  void close_early();
  // A server is drained now: without clients it lets go of it.
  void see_drained();
  // It ends like that as soon as nobody needs it: its backend has been removed, or another process takes
  // over.
  void wind_down();
  bool closing() const { return closing_; }

  void join(Member& member);
  void leave(Member& member);
  size_t members() const { return member_count_; }
  bool needed() const;  // by anybody
  bool takes_from(const Account& places) const { return places_.get() == &places; }

  auth::CredentialCache& credentials() { return credentials_; }
  // The settings of a reload, for what is done from here on. Connections to servers that are gone are given
  // up when what is under way there is done.
  void use(std::shared_ptr<backend::BackendServers> servers);
  // A login of its own verified this credential: the connection stays. `place`: one of the user's K; a
  // private account keeps it for all of its life, also while it has no connection.
  void adopt(std::unique_ptr<backend::BackendConnection> connection, Account::Slot place,
             auth::Credential credential, const auth::CredentialCache::Digest& digest);
  // The backend takes no more connections of the user than there are: none is asked for, for a while.
  void no_slot();
  // K, or what the backend was found to allow; 0: no limit.
  uint32_t most_connections() const;
  // Somebody waits for one of the K places to verify a credential. What is closed for him:
  enum class Claim : uint8_t {
    kSpare,  // a connection that nobody has needed for a while
    kIdle,   // or that of a mailbox where nobody does anything
    kAny,    // or, if that takes long, that of the mailbox idle longest
  };
  class RoomWish {
   public:
    RoomWish(SharedAccount& account, Claim claim);
    ~RoomWish();
    RoomWish(const RoomWish&) = delete;
    RoomWish& operator=(const RoomWish&) = delete;

   private:
    friend class SharedAccount;
    SharedAccount& account_;
    const Claim claim_;
    const base::Instant began_;
    std::weak_ptr<SharedMailbox> victim_;
    async::Timer again_;
  };
  // A place that none of the account's mailboxes waits for.
  bool has_spare_place() const;

  // What was found, or why not, fit behind a tag.
  struct Found {
    std::shared_ptr<SharedConnection> connection;
    std::string problem;
  };
  // A connection for a command that needs no mailbox open; its turn is the caller's to ask for.
  async::Task<Found> connection_for_command();
  enum class Manner : uint8_t { kGentle, kInsisting };
  // A connection for a mailbox, which it is attached to from then on. `gentle`: only where nobody else is
  // disturbed. `give_up` is asked after every change(), and every `min_hold`.
  async::Task<Found> connection_for(SharedMailbox& mailbox, Manner manner, std::function<bool()> give_up);
  // For other users (max_connections): the connection of this server that is missed least. Idle: nobody
  // asks for anything on it. Not one that was opened a moment (`min_hold`) ago. Null: there is none.
  enum class Spare : uint8_t { kIdle, kBusy };
  std::shared_ptr<SharedConnection> spare_connection(const backend::ConnectionLimit& limit, Spare kind) const;
  // It is closed as soon as what is under way on it is done.
  void retire(const std::shared_ptr<SharedConnection>& connection, std::shared_ptr<void> until_closed);
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
  void changed() {
    changed_.notify_all();
    if (closing_ || lingering_ || !needed()) alone_.notify_all();
  }

  const backend::Capabilities& capabilities() const { return capabilities_; }
  const config::Backend& config() const { return servers_->config(); }
  const backend::BackendServers& servers() const { return *servers_; }
  const std::string& login_name() const { return login_name_; }
  AccountId id() const { return id_; }  // for the arbiter
  Workplace& workplace() { return workplace_; }
  size_t connections() const { return connections_.size(); }
  std::vector<std::shared_ptr<SharedMailbox>> mailboxes() const;
  // account_status.cc
  AccountStatus status() const;
  void count(AccountTotals& totals) const;
  bool anybody_waits() const;

 private:
  async::TaskScope& tasks() override { return tasks_; }
  base::Millis min_hold() const override { return config().min_hold; }
  void on_connection_lost(SharedConnection& connection, const std::string& reason) noexcept override;
  void on_connection_free(SharedConnection& connection) noexcept override;
  void on_place_free() noexcept override { changed(); }
  void on_place_wanted() noexcept override;
  void on_alert(std::string_view line) noexcept override;
  void run() override;  // frees what was lost

  struct Wish : base::ListNode {};
  // A credential that the backend has accepted, to connect with.
  struct Proven {
    auth::CredentialCache::Digest digest;
    auth::Credential credential;
    bool refused = false;  // since the last connection was opened
  };

  void add(std::unique_ptr<backend::BackendConnection> connection, Account::Slot place);
  base::Millis linger() const;
  bool uses_drained() const;
  bool can_open() const;
  bool has_room() const { return servers_->has_room(login_name_, workplace_.scheduler().now()); }
  async::Task<> wait_for_change(base::Instant deadline);
  void open_another();
  async::Task<> open(Account::Slot place);
  struct Attempt {
    std::unique_ptr<backend::BackendConnection> connection;
    std::optional<backend::LoginVerdict> verdict;  // none: it did not come to that
    auth::CredentialCache::Digest digest{};        // of what was tried
    std::string problem;
  };
  async::Task<Attempt> attempt_to_open(std::shared_ptr<backend::BackendServers> servers);
  const Proven* usable() const;
  backend::MaybeOrigin origin(const Proven* proven) const;
  bool mark_refused(const auth::CredentialCache::Digest& digest);
  void drop_refused();
  // `busy`: how long a server may be at work before it closes.
  void dismiss(std::shared_ptr<SharedConnection> connection, base::Millis busy);
  async::Task<> hurry();
  async::Task<> close_one(std::shared_ptr<SharedConnection> connection, base::Millis busy);
  async::Task<> keep(std::shared_ptr<SharedMailbox> mailbox);
  void make_room();
  bool is_for_room() const { return room_wish_ && room_wish_->claim_ != Claim::kSpare; }
  std::shared_ptr<SharedMailbox> idle_longest(Manner manner, const SharedMailbox* except) const;
  bool others_heard_less(const SharedMailbox& mailbox) const;

  SharedMailbox* mailbox_on(const SharedConnection& connection) const;
  bool can_spare(const SharedConnection& connection) const;
  void dismiss_retired();
  void leave_removed_servers();

  SharedAccounts& accounts_;
  Workplace& workplace_;
  const Kind kind_;
  const AccountId id_;
  Account::Slot session_place_;  // of a private one
  std::shared_ptr<Account> places_;
  std::shared_ptr<backend::BackendServers> servers_;
  const std::string login_name_;
  auth::CredentialCache credentials_;
  std::list<Proven> proven_;                    // the latest first
  std::optional<base::Instant> refused_since_;  // nothing that was proven is accepted
  uint32_t lowered_to_ = 0;                     // instead of K
  base::Instant lowered_until_{};
  backend::Capabilities capabilities_;
  std::vector<std::shared_ptr<SharedConnection>> connections_;
  std::vector<std::shared_ptr<SharedConnection>> lost_;
  backend::UsersThere::Stay stay_;  // its clients stay where they are, also while there is no connection
  std::map<std::pair<std::string, std::string>, std::shared_ptr<SharedMailbox>> mailboxes_;
  base::IntrusiveList<Member> members_;
  size_t member_count_ = 0;
  std::unique_ptr<MailboxNaming> naming_;
  char delimiter_ = 0;
  base::IntrusiveList<Wish> wishes_;  // of mailboxes, for a connection
  bool opening_ = false;
  uint64_t openings_ = 0;  // that have ended
  std::string opening_problem_;
  BackOff back_off_;
  RoomWish* room_wish_ = nullptr;  // one credential is verified at a time
  std::vector<std::shared_ptr<SharedConnection>> being_closed_;
  bool copying_ = false;
  bool subscribing_ = false;
  bool closing_ = false;
  bool winding_down_ = false;
  async::WaitList changed_;
  async::WaitList alone_;  // of live()
  bool lingering_ = false;
  async::TaskScope tasks_;
  async::TaskScope openings_under_way_;
};

}  // namespace imapmux::mailbox
