// `shared`: one client of an account whose sessions share backend connections.
//
// The client's mailbox is a view of its own on a SharedMailbox: numbers become UIDs when a command is sent
// and numbers of this view again when it is answered. FETCH, STORE, SEARCH, SORT and THREAD are pipelined
// within the client's turn; all others wait until those are answered. Owned by its ClientSession, on its
// thread.
//
// shared_session.cc: the conversation, what the client is told and when. shared_messages.cc: commands on
// messages. shared_answers.cc: what the backend answers to them. shared_flags.cc: what the table does.
// shared_mailboxes.cc: commands on mailboxes. shared_append.cc, shared_idle.cc. shared_again.cc,
// shared_half_literal.cc: lost connections.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mailbox/shared_account.h"
#include "session/client_session.h"
#include "session/half_literal.h"
#include "wire/fetch_attributes.h"
#include "wire/fetch_items.h"
#include "wire/store_arguments.h"

namespace imapmux::session {

class SharedSession final : public AfterLogin, private mailbox::Viewer, private mailbox::Member {
 public:
  // `credential`: what the client logged in with.
  SharedSession(ClientSession& client, std::shared_ptr<mailbox::SharedAccount> account,
                const auth::CredentialCache::Digest& credential);
  ~SharedSession() override;

  // Also for the login's answer.
  std::string capabilities() const override;

  async::Task<> serve() override;
  async::Task<> finish() override;
  void on_client_drained() noexcept override;
  ToldCount told_count() const noexcept override;

 private:
  using Connection = std::shared_ptr<mailbox::SharedConnection>;
  using Refusal = mailbox::Refusal;

  // A command on messages in flight: its answer goes to the client under the client's tag.
  struct Relayed final : backend::Completion {
    explicit Relayed(SharedSession& of) : session(of) {}
    void on_tagged(const wire::Response& response) noexcept override;
    void on_lost(const std::string& reason) noexcept override;
    bool verb_fetches() const { return verb == wire::Verb::kFetch || verb == wire::Verb::kUidFetch; }
    SharedSession& session;
    std::list<Relayed>::iterator self;
    std::string tag;    // the client's
    bool sent = false;  // else it waits for its turn
    base::Instant begun_at{};
    bool by_number = false;  // it names messages by number, which may be looked up again before it is sent
    wire::Verb verb = wire::Verb::kUnknown;
    wire::SequenceSet numbers;  // as the client meant them; empty with UIDs
    uint32_t told = 0;          // of how many messages it knew when it wrote them
    wire::SequenceSet uids;     // of STORE
    // FETCH
    bool wants_uid = false;
    bool renames_body = false;
    bool renames_body_text = false;
    bool renamed_from_0 = false;
    bool wants_flags = false;
    bool only_flags = false;  // and UID
    // For when its connection is lost in the middle: it runs again, once.
    bool lost = false;
    bool again = false;
    bool completes_literal = false;  // of one message, before the others
    std::string rest;                // what goes out behind the UIDs; of SEARCH, SORT and THREAD all of it
    mailbox::MessageRuns delivered;  // of FETCH: whose response the client has
    // STORE
    wire::FlagOperation operation = wire::FlagOperation::kReplace;
    mailbox::FlagSet flags;
    bool silent = false;              // the client wants no echo
    std::vector<uint32_t> told_uids;  // of messages whose flags the client heard of meanwhile
    bool echo_comes = false;          // but one comes, for the others' sake
    mailbox::MessageRuns withheld;    // whose echo the client did not get
    // SEARCH, SORT, THREAD
    bool extended = false;             // RETURN: ESEARCH is the answer
    std::vector<std::string> answers;  // passed on with the tagged end: it may run again
    std::vector<std::string> options;
    std::vector<uint32_t> found;
  };
  // What one command holds until the backend has answered it, also when its client is gone by then: leases
  // under a holder of its own, mailboxes of the account that are set aside meanwhile, the right to copy or to
  // meddle with subscriptions.
  struct Hold {
    explicit Hold(std::shared_ptr<mailbox::SharedAccount> of);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    std::shared_ptr<mailbox::SharedAccount> account;
    mailbox::HolderId holder;
    bool copies = false;
    // Of COPY and MOVE: the mailbox they read from, under whose holder the target is held as well.
    std::shared_ptr<mailbox::SharedMailbox> source;
    mailbox::MailboxKey target;
    std::optional<mailbox::SharedMailbox::Source> copying;  // once it has both
    bool subscribes = false;
    std::vector<mailbox::SharedMailbox::Block> blocks;
  };
  // A command on messages as it is sent.
  struct Prepared {
    std::string text;                   // empty: nothing is to be sent
    std::optional<std::string> answer;  // then this is the answer
    size_t silent_at = 0;               // 0, or where ".SILENT" goes if nobody looks on by then
  };
  enum class Expunges : uint8_t { kHeldBack, kTold };

  static constexpr std::string_view kCantGoOn =
      "[UNAVAILABLE] The mail server has gone in the middle of a message";
  static constexpr std::string_view kAllGone = "NO [EXPUNGEISSUED] The messages are gone";
  static constexpr std::string_view kReadOnly = "NO [READ-ONLY] The mailbox is open read-only";

  // An answer of the proxy, "NO [CODE] text", as a backend's reply.
  static backend::TaggedReply as_reply(std::string_view refusal);
  // What is said of a command whose connection was lost in the middle.
  static backend::TaggedReply lost(std::string_view text);

  // shared_session.cc
  // `entry` outlives the call.
  async::Task<> execute(Entry& entry);
  bool done_at_once(const Entry& entry);
  Refusal refusal(const wire::Command& command) const;
  async::Task<> all_answered();
  async::Task<> general(const Entry& entry);
  async::Task<> subscriptions(const Entry& entry);
  // Runs a command on any connection of the account, or in an open mailbox; whatever becomes of the
  // connection is told by the reply. `held` lasts until the backend has answered.
  async::Task<backend::TaggedReply> run_anywhere(std::string text, std::shared_ptr<void> held);
  async::Task<backend::TaggedReply> run_in(std::shared_ptr<mailbox::SharedMailbox> open, std::string text,
                                           std::shared_ptr<void> held);
  // The caller ends the turn. Without a connection: why not.
  struct Turn {
    Connection connection;
    Refusal refusal;
  };
  async::Task<std::optional<backend::TaggedReply>> run_in_turn(Connection connection, std::string text,
                                                               std::shared_ptr<void> held);
  async::Task<backend::TaggedReply> run_where(std::function<async::Task<Turn>()> turns, std::string text,
                                              std::shared_ptr<void> held);
  async::Task<Turn> turn_anywhere();
  async::Task<Turn> turn_in(std::shared_ptr<mailbox::SharedMailbox> open);
  async::Task<Turn> turn_to_write();
  async::Task<Refusal> ready(std::shared_ptr<mailbox::SharedMailbox> open);
  // The tagged end of a command, behind what the client is to be told with it.
  void answer(const wire::Command& command, std::string_view text);
  void answer(const wire::Command& command, const backend::TaggedReply& reply);
  void log_refusal(const wire::Command& command, std::string_view code, std::string_view text);
  void tell(Expunges expunges);
  void tell_before(wire::Verb finished);
  void tell_access();
  void tell_exists(uint32_t known);
  void tell_known_flags();
  void tell_flags();
  void told_flags_of(uint32_t uid);
  bool numbers_open() const;
  uint32_t last_uid_told() const;
  bool in_mailbox() const { return mailbox_ != nullptr; }
  bool is_open(const mailbox::MailboxKey& key) const { return in_mailbox() && mailbox_->key() == key; }
  void detach();
  void hold_back_if_slow();
  void begin_backlog();
  // What the numbers of a command mean.
  uint32_t told_at(const Entry& entry) const;
  void leave_selected_state();

  // shared_messages.cc
  async::Task<> forward(const Entry& entry);
  bool forwarded_at_once(const Entry& entry);
  bool numbers_are_known() const;
  async::Task<Refusal> numbers_known();
  async::Task<Turn> turn_behind_lost();
  Prepared prepare(const wire::Command& command, Relayed& relayed);
  Prepared prepare_fetch(const wire::Command& command, Relayed& relayed);
  Prepared prepare_store(const wire::Command& command, Relayed& relayed);
  Prepared prepare_search(const wire::Command& command, Relayed& relayed);
  Prepared prepare_set(wire::TokenReader& reader, const wire::Command& command, Relayed& relayed) const;
  bool last_is_there() const;
  bool asks_for_news(const wire::Command& command) const;
  wire::SequenceSet uids_meant(const wire::SequenceSet& uids, wire::Verb verb) const;
  bool may_join(const Relayed& relayed) const;
  Relayed& new_relayed(const Entry& entry);
  void ask_silently_if_alone(Prepared& prepared, Relayed& relayed) const;
  void drop(Relayed& relayed);
  void free_spare();

  // shared_flags.cc
  bool may_ask_together(const Relayed& relayed) const;
  async::Task<bool> answered_together(Relayed& relayed);
  void answer_relayed(Relayed& relayed, backend::TaggedReply reply);
  async::Task<> show_flags(Relayed& relayed, std::shared_ptr<const mailbox::MessageRuns> told);
  void show_flags_of(const Relayed& relayed, uint32_t number);
  async::Task<> give_way();

  // shared_again.cc
  void begin_again();
  async::Task<> run_lost_again();
  async::Task<> run_again(Relayed& relayed);
  std::string text_again(Relayed& relayed) const;
  wire::SequenceSet not_delivered(const Relayed& relayed) const;
  void note_delivered(uint32_t number);
  bool any_sent() const;

  // shared_half_literal.cc
  Relayed* half_answered();
  async::Task<bool> go_on_with_literal();
  void literal_completed(Relayed& relayed);
  bool replay_fetch(const wire::Response& response, std::optional<backend::LiteralStart> literal);
  void replay_text(std::string_view text, std::optional<backend::LiteralStart> literal);
  void replay_octets(std::string_view octets);

  // shared_answers.cc
  void on_untagged(const wire::Response& response,
                   std::optional<backend::LiteralStart> literal) noexcept override;
  void on_literal(std::string_view octets) noexcept override;
  void on_text(std::string_view text, std::optional<backend::LiteralStart> literal) noexcept override;
  bool on_fetch(const mailbox::SharedMailbox& mailbox, const wire::Response& response,
                std::optional<backend::LiteralStart> literal) noexcept override;
  void on_others_wait() noexcept override;
  void on_progress() noexcept override { progress_.notify_all(); }
  void on_news() noexcept override;
  void on_mailbox_changed_identity() noexcept override;
  void on_alert(std::string_view line) noexcept override;
  const auth::CredentialCache::Digest& credential() const noexcept override { return credential_; }
  backend::MaybeOrigin origin() const noexcept override { return client_.origin(); }
  void on_credential_refused() noexcept override;
  wire::FetchWishes wishes() const;
  bool is_withheld(uint32_t number, uint32_t uid, const std::string& flags) const;
  void note_withheld(uint32_t number);
  void tell_withheld(const Relayed& relayed);
  void whole_fetch(const wire::Response& response);
  void begin_fetch(const wire::Response& response, const backend::LiteralStart& literal);
  void fetched(uint32_t number, uint32_t uid, const std::string* flags);
  bool was_told_flags(uint32_t number) const;
  bool is_echo(uint32_t number) const;
  uint32_t shown_as(uint32_t number);
  uint32_t number_of(uint32_t uid);
  void on_found(const wire::Response& response);
  void assume(const Relayed& relayed);
  void complete(Relayed& relayed, const wire::Response& response);
  void conclude(Relayed& relayed, backend::TaggedReply reply);
  void write_results(Relayed& relayed);
  void break_off(std::string_view why);

  // shared_mailboxes.cc
  async::Task<> select(const Entry& entry);
  void close_previous();
  void show_mailbox(const wire::Command& command);
  async::Task<> expunge(const Entry& entry);
  async::Task<> close(const Entry& entry);
  async::Task<> status(const Entry& entry);
  async::Task<> status_of_open(const Entry& entry, std::shared_ptr<mailbox::SharedMailbox> open);
  async::Task<backend::TaggedReply> find(std::shared_ptr<mailbox::SharedMailbox> open, std::string_view key,
                                         std::vector<uint32_t>& uids);
  async::Task<> copy(const Entry& entry);
  async::Task<backend::TaggedReply> copy_to(const Entry& entry);
  Prepared prepare_copy(const Entry& entry) const;
  async::Task<backend::TaggedReply> run_copy(const Entry& entry, std::shared_ptr<void> held);
  async::Task<> restructure(const Entry& entry);
  async::Task<> name_space(const Entry& entry);
  async::Task<Refusal> lease(std::vector<mailbox::LeaseRequest> requests, std::shared_ptr<Hold> hold);
  async::Task<Refusal> lease_copy(std::shared_ptr<Hold> hold);
  async::Task<Refusal> know_names();

  // shared_append.cc
  async::Task<> append(const Entry& entry);
  struct Message {
    std::string before;  // the text between the literals; of the first one empty
    wire::Literal8 kind;
    std::shared_ptr<net::Spool> octets;
  };
  async::Task<std::optional<std::string>> spool(const Entry& entry, std::vector<Message>& messages);
  async::Task<backend::TaggedReply> upload(const wire::Command& command, std::vector<Message> messages);
  bool offers_several() const;

  // shared_idle.cc
  async::Task<> idle(const Entry& entry);
  bool idle_ends() const;

  ClientSession& client_;
  std::shared_ptr<mailbox::SharedAccount> account_;
  const auth::CredentialCache::Digest credential_;
  std::shared_ptr<mailbox::SharedMailbox> mailbox_;  // that is selected
  uint64_t view_id_ = 0;                             // counts the views that this client has had
  bool vanished_ = false;                            // the selected mailbox was deleted by its own client
  bool by_number_ = false;  // so does the command that was read last, and it is not in flight yet
  std::list<Relayed> in_flight_;
  std::list<Relayed> spare_;
  async::WaitList progress_;
  async::TaskScope again_;  // for run_lost_again()
  Connection current_;      // whose turn it was last: what comes on it is this client's
  Connection paused_;       // for this client's sake
  // Of the FETCH response that is on its way.
  wire::FetchAttributes attributes_;
  uint32_t fetch_number_ = 0;     // in the table; 0: the response is none
  bool fetch_is_passed_ = false;  // the rest of the response is for the client
  HalfLiteral half_;              // its literal
  bool flags_withheld_ = false;   // it came once more, and the client did not get its flags again
  std::string body_;
  std::string fetch_flags_;
  std::vector<uint32_t> numbers_;
  // UID and change counter of flags that the client was told out of turn, above its view's mark.
  std::unordered_map<uint32_t, uint32_t> told_ahead_;
  std::vector<uint32_t>* found_ = nullptr;  // where an inner SEARCH's results go
};

}  // namespace imapmux::session
