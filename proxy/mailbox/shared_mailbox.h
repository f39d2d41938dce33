// One mailbox that clients of one account share: the message table, the views, and its upkeep.
//
// Attached: selected on a connection, under a lease of the arbiter. Suspended: the views live on, without
// connection and lease. One task, keep(), moves it between these states and does what no client's command
// does: it selects and reads UIDs, learns of new messages, answers NOOPs and polls with one NOOP, idles on
// the backend, lets go.
//
// Owned by its SharedAccount, which runs keep() in its scope, and by sessions that look at it; on that
// worker's thread. It goes when nobody looks on and its `linger` is over.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mailbox/lease_wait.h"
#include "mailbox/message_runs.h"
#include "mailbox/shared_connection.h"
#include "mailbox/viewers.h"
#include "wire/fetch_attributes.h"

namespace imapmux::mailbox {

class SharedAccount;

class SharedMailbox final : public std::enable_shared_from_this<SharedMailbox>,
                            private Party,
                            private SharedConnection::Attachment,
                            private async::ReadyNode {
 public:
  SharedMailbox(SharedAccount& account, MailboxKey key, std::string name);
  ~SharedMailbox();

  // For the account. Ends when nobody needs it any more, or when the account closes.
  async::Task<> keep();
  void close();  // the account is going
  // Its connection is wanted for another mailbox: it is given back at the next opportunity.
  void give_connection();
  // Nobody else wants it any more.
  void keep_connection() { connection_wanted_ = false; }
  // Its clients ask what is new, and there was no connection for that.
  bool lacks_connection() const { return lacks_connection_ && !attached_ && !polls_.empty(); }
  base::Instant last_heard() const { return last_heard_; }
  bool in_use() const { return !viewers_.empty() || uses_ > 0; }
  // RFC 4315, UIDNOTSTICKY: what its clients know of it would be worth nothing afterwards.
  bool can_be_suspended() const { return !uids_not_sticky_ || viewers_.size() <= leaving_; }
  base::Instant last_used() const;
  // Attached, and nobody has asked for anything for a while.
  bool resting() const;
  bool attached() const { return attached_ && !contradicted_; }
  // Neither attached nor about to be: it has no lease.
  bool at_rest() const { return !connection_ && !attach_under_way_; }
  bool attaching() const { return attach_under_way_; }
  MailboxStatus status() const;

  const MailboxKey& key() const { return key_; }
  HolderId holder() const { return holder_; }
  SharedConnection& connection() { return *connection_; }  // while attached
  std::shared_ptr<SharedConnection> shared_connection() { return connection_; }

  // For clients, who give up when `give_up` says so after `nudges` was notified; both outlive the call.
  // Attaches it by SELECT or EXAMINE if it is not, polls it if it is. Nothing: it is open as asked.
  async::Task<Refusal> open(LeaseKind kind, async::WaitList& nudges, std::function<bool()> give_up);
  // Behind open(), in the same turn of the loop.
  void join(Viewer& viewer);
  void leave(Viewer& viewer);
  // What changes is told at once, by Viewer::on_news().
  void begin_idle(Viewer& viewer);
  void end_idle(Viewer& viewer);
  bool alone(const Viewer& viewer) const;
  size_t viewers() const { return viewers_.size(); }
  // Attaches it again for a command, if it is suspended. Nothing: it is attached now.
  async::Task<Refusal> ready(async::WaitList& nudges, std::function<bool()> give_up);
  // Something happened to it elsewhere: those who idle hear of it soon.
  void visit_soon();
  // Waits until the backend was asked what is new: one NOOP (or CHECK) for all who wait. A suspended mailbox
  // is attached, if that is done within a second.
  enum class Poll : uint8_t { kNoop, kCheck };
  async::Task<> poll(Poll kind);
  // How many were begun so far; and whether one that began since then has been answered: then it has told
  // what was asked for at that time.
  uint64_t polls_begun() const { return polls_begun_; }
  bool polled_since(uint64_t begun) const { return attached() && polls_answered_ > begun; }
  // Waits until the backend has told the flags of these known messages, of which there are at most
  // kMostRanges ranges; `uids` outlives the call.
  struct FlagsRead {
    enum class Outcome : uint8_t {
      kTold,       // they are in the table, and what was told of them is no older than the question
      kRefused,    // the backend has no answer to that
      kSuspended,  // there is no connection any more on which it could be asked
      kLost,       // the same, while it was being asked
    };
    Outcome outcome = Outcome::kSuspended;
    std::shared_ptr<const MessageRuns> told;  // the messages that it said something of
  };
  static constexpr size_t kMostRanges = 256;  // so that a command stays below 8,000 octets
  async::Task<FlagsRead> read_flags(const wire::SequenceSet& uids);
  // Waits until all UIDs are known that a view may need.
  async::Task<> complete();
  // Somebody works with it who may be no viewer: it stays at hand for him, attached or not.
  class Use {
   public:
    explicit Use(std::shared_ptr<SharedMailbox> of) : of_(std::move(of)) {
      ++of_->uses_;
      of_->see_who_is_here();
    }
    ~Use() { of_->used(); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    std::shared_ptr<SharedMailbox> of_;
  };
  // Suspended, and stays so, while one of these lives.
  class Block {
   public:
    explicit Block(std::shared_ptr<SharedMailbox> of);
    ~Block();
    Block(Block&& other) noexcept = default;
    Block& operator=(Block&&) = delete;
    async::Task<> suspended();

   private:
    std::shared_ptr<SharedMailbox> of_;
  };

  const MessageTable& table() const { return table_; }
  // A FETCH response that a viewer took said so. Changes are news for the others.
  void learn(uint32_t number, uint32_t uid, const std::string* flags);
  // It makes no sense: what the backend has is read anew.
  void doubt(std::string_view what) { contradiction(what); }
  // A client works with it, which IDLE and polls are not.
  void worked() { last_work_ = now(); }
  // A COPY from it has got its leases: it is not set aside before that is done, who waits for it waits for
  // the COPY.
  class Source {
   public:
    explicit Source(std::shared_ptr<SharedMailbox> of) : of_(std::move(of)) { ++of_->copies_; }
    ~Source();
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;

   private:
    std::shared_ptr<SharedMailbox> of_;
  };
  // A command on it waits for another mailbox (COPY): until then it counts as idle.
  class HeldLightly {
   public:
    explicit HeldLightly(std::shared_ptr<SharedMailbox> of) : of_(std::move(of)) {
      ++of_->lightly_held_;
      of_->wake_.notify_all();
    }
    ~HeldLightly() { --of_->lightly_held_; }
    HeldLightly(const HeldLightly&) = delete;
    HeldLightly& operator=(const HeldLightly&) = delete;

   private:
    std::shared_ptr<SharedMailbox> of_;
  };
  // A client of it opens another one: from now on it misses nothing here, whatever comes of that.
  class Leaving {
   public:
    explicit Leaving(std::shared_ptr<SharedMailbox> of) : of_(std::move(of)) {
      ++of_->leaving_;
      of_->see_who_is_here();
    }
    ~Leaving() {
      --of_->leaving_;
      of_->see_who_is_here();
    }
    Leaving(const Leaving&) = delete;
    Leaving& operator=(const Leaving&) = delete;

   private:
    std::shared_ptr<SharedMailbox> of_;
  };
  void assume_flags(uint32_t number, wire::FlagOperation operation, const FlagSet& flags) {
    table_.assume_flags(number, operation, flags);
  }
  uint32_t recent() const { return std::min(recent_, table_.known()); }
  uint32_t uid_validity() const { return uid_validity_; }
  uint32_t uid_next() const { return uid_next_; }  // never goes back
  bool read_only() const { return read_only_; }    // even for SELECT
  bool attached_for_writing() const { return attached_kind_ == LeaseKind::kSelect; }
  const std::string& flags() const { return flags_; }  // of the untagged FLAGS, with parentheses
  const std::string& permanent_flags() const { return permanent_flags_; }
  uint32_t flags_version() const { return flags_version_; }
  // The number of the first message without \Seen; 0: none, or not known.
  uint32_t first_unseen() const;
  // It was there, or APPENDUID said so.
  void saw_uid(uint32_t uid);

 private:
  // Up to here UIDs and flags are read together; beyond, the UIDs alone come first and the flags behind the
  // SELECT.
  static constexpr uint32_t kFewMessages = 2'000;
  static constexpr base::Millis kPatienceOfPolls{1'000};

  // Who waits for open(), or for ready(): as the views need it.
  enum class Wanted : uint8_t { kSelected, kExamined, kAttached };
  struct Opening : base::ListNode {
    Opening(Wanted what, async::WaitList& list) : wanted(what), nudges(list) {}
    void decide(const Refusal& why_not) {
      unlink();
      decided = true;
      refusal = why_not;
      nudges.notify_all();
    }
    Wanted wanted;
    async::WaitList& nudges;
    bool before_select = false;  // it asked before the SELECT that is under way was sent
    bool decided = false;
    Refusal refusal;
  };
  // Who waits for a poll.
  struct Polling : base::ListNode {
    explicit Polling(Poll wanted) : kind(wanted) {}
    void answered() {
      unlink();
      done.set();
    }
    Poll kind;
    bool has_limit = false;  // it waits for the mailbox to be attached, but not for long
    async::Event done;
  };
  // The tagged end of a NOOP that poll_at_once() has sent.
  class PollEnd final : public backend::Completion {
   public:
    explicit PollEnd(SharedMailbox& of) : of_(of) {}
    ~PollEnd();
    PollEnd(const PollEnd&) = delete;
    PollEnd& operator=(const PollEnd&) = delete;
    void expect(std::shared_ptr<SharedConnection> connection);
    bool under_way() const { return connection_ != nullptr; }

   private:
    void on_tagged(const wire::Response& response) noexcept override;
    void on_lost(const std::string& reason) noexcept override;
    SharedMailbox& of_;
    std::shared_ptr<SharedConnection> connection_;
  };
  // Who waits for read_flags().
  struct FlagsAsked : base::ListNode {
    explicit FlagsAsked(const wire::SequenceSet& wanted) : uids(wanted) {}
    void answered() {
      unlink();
      done.set();
    }
    const wire::SequenceSet& uids;
    FlagsRead read;
    async::Event done;
  };
  class Listening;
  // shared_mailbox_flags.cc
  wire::SequenceSet take_flags_asked(base::IntrusiveList<FlagsAsked>& taken);
  async::Task<> read_flags_asked_for(std::shared_ptr<SharedConnection> connection);
  void tell_flags_asked();
  // shared_mailbox_poll.cc
  bool may_poll_at_once();
  bool poll_at_once();
  void poll_ended();
  void heard();

  // shared_mailbox.cc
  async::Task<Refusal> wait_for(Wanted wanted, async::WaitList& nudges, std::function<bool()> give_up);
  async::Task<> step();
  void used();
  bool wanted() const;
  bool gives_connection() const;
  bool may_let_go() const;
  bool must_let_go() const;
  bool set_aside() const { return blocks_ > 0 && copies_ == 0; }
  bool abandoned() const;
  bool only_read() const;
  bool has_clients() const;
  void see_who_is_here();
  void begin_to_yield();
  void end_yielding();
  void lease_wanted();
  bool may_yield() const;
  base::Instant yields_at() const;
  bool waits_for_writing() const { return attached_ && wants_writing() && !attached_for_writing(); }
  base::Millis until_next_step() const;
  async::Task<> look_after();
  async::Task<> learn_what_is_new(std::shared_ptr<SharedConnection> connection);
  async::Task<> read_missing_flags(std::shared_ptr<SharedConnection> connection);
  bool poll_is_due() const;
  bool writing_may_be_back() const;
  bool idle_goes_on() const;
  bool anybody_idles() const { return viewers_.any_idles(); }
  bool news_overdue() const;
  uint32_t without_flags();
  async::Task<> idle_on_backend();
  bool may_idle() const;
  bool backend_should_idle() const;

  // shared_mailbox_attach.cc
  async::Task<> attach();
  async::Task<Refusal> take_place(LeaseKind kind);
  bool is_wanted_elsewhere() const;
  async::Task<Refusal> select(LeaseKind kind);
  async::Task<Refusal> select_in_turn(std::shared_ptr<SharedConnection> connection, LeaseKind kind,
                                      bool& open);
  async::Task<Refusal> read_messages(std::shared_ptr<SharedConnection> connection);
  bool may_catch_up() const;
  async::Task<bool> catch_up(std::shared_ptr<SharedConnection> connection);
  bool is_growth(uint32_t before) const;
  void adopt_growth();
  async::Task<> read_flags_again(std::shared_ptr<SharedConnection> connection);
  async::Task<backend::TaggedReply> ask(std::shared_ptr<SharedConnection> connection, std::string text);
  bool adopt(MessageTable& fresh);
  bool learn_uids_between(const MessageTable& fresh);
  bool expunge(uint32_t number);
  void begin_anew(MessageTable& fresh);
  void tell_openings(const Refusal& refusal);
  void tell_refused(LeaseKind kind, const Refusal& refusal);
  void tell_openings_it_is_open();
  static void tell_polls(base::IntrusiveList<Polling>& polls);
  async::Task<> let_go();
  async::Task<> deselect_in_turn();
  async::Task<> deselect(std::shared_ptr<SharedConnection> connection);
  void look_for_aliases();
  // When flags that others may change meanwhile are read again, at the latest.
  enum class Flags : uint8_t { kAtOnce, kSoon };
  void suspended(Flags flags);
  void flags_are_old(Flags flags);
  bool flags_are_due() const { return flags_due_ && now() >= *flags_due_; }
  bool wants_writing() const;
  void contradiction(std::string_view what);
  const config::Backend& config() const;
  base::Instant now() const;

  // Party: its own turns
  void on_untagged(const wire::Response& response,
                   std::optional<backend::LiteralStart> literal) noexcept override;
  void on_literal(std::string_view) noexcept override {}
  void on_text(std::string_view, std::optional<backend::LiteralStart>) noexcept override {}
  bool on_fetch(const SharedMailbox&, const wire::Response&,
                std::optional<backend::LiteralStart>) noexcept override {
    return false;
  }
  void on_others_wait() noexcept override { wake_.notify_all(); }

  // Attachment
  Taken on_untagged(Party* party, const wire::Response& response,
                    std::optional<backend::LiteralStart> literal) noexcept override;
  void on_text(bool by_party, std::string_view text,
               std::optional<backend::LiteralStart> literal) noexcept override;
  Taken on_code(const wire::Response& response);
  void on_connection_lost(const std::string& reason) noexcept override;

  void run() override;  // tells those who idle
  void news();
  MessageTable& heard_table() { return attaching_ ? fresh_ : table_; }

  SharedAccount& account_;
  const MailboxKey key_;
  const std::string name_;
  const HolderId holder_;
  std::shared_ptr<SharedConnection> connection_;

  bool attached_ = false;
  bool attach_under_way_ = false;
  bool leased_ = false;       // attach() has got as far as that
  bool attaching_ = false;    // what the backend says is about fresh_
  bool deselecting_ = false;  // what the backend says means nothing any more
  bool idle_refused_ = false;
  bool closing_ = false;
  bool connection_wanted_ = false;
  bool lacks_connection_ = false;
  int lost_attaches_ = 0;   // in a row: attach() lost its connection in the middle
  bool yields_ = false;     // registered with the arbiter
  bool looked_at_ = false;  // this, too
  bool yielding_ = false;   // its lease is being given back
  size_t lightly_held_ = 0;
  size_t leaving_ = 0;
  size_t copies_ = 0;
  std::optional<base::Instant> wanted_since_;  // by another holder, the lease
  base::Instant last_work_{};                  // of a client: no IDLE, no poll
  bool gave_up_ = false;       // the last attach(): nobody wanted it any more, or it is set aside
  bool contradicted_ = false;  // to be attached again by the full path
  size_t contradictions_ = 0;  // in a row
  size_t uses_ = 0;
  size_t blocks_ = 0;
  LeaseKind attached_kind_ = LeaseKind::kExamine;

  MessageTable table_;
  MessageTable fresh_;
  std::string fetched_flags_;
  // Of a FETCH response with literals, for when nobody else reads it to its end.
  wire::FetchAttributes fetched_;
  uint32_t fetched_number_ = 0;  // 0: there is none on its way
  std::string nobodys_;
  base::Instant attached_since_{};
  base::Instant selected_at_{};
  std::vector<uint32_t>* searched_ = nullptr;  // where an inner SEARCH's results go
  uint32_t recent_ = 0;
  uint32_t uid_validity_ = 0;
  uint32_t heard_validity_ = 0;  // of the SELECT that is under way
  uint32_t uid_next_ = 0;
  uint32_t heard_next_ = 0;
  bool heard_expunge_ = false;
  // Every message with a UID below is in the table, or gone; 0: nothing was read yet. Unlike uid_next_ it is
  // not raised by what was only heard of (APPENDUID).
  uint32_t read_up_to_ = 0;
  bool uids_not_sticky_ = false;            // RFC 4315: UIDs are gone with the connection
  std::optional<base::Instant> flags_due_;  // they are as they were when it was suspended
  uint32_t flags_read_again_ = 0;           // up to this UID
  bool read_only_ = false;
  std::string flags_;
  std::string permanent_flags_;
  uint32_t flags_version_ = 0;
  uint32_t flags_unknowable_ = 0;  // UID of a message whose flags were asked for in vain

  Viewers viewers_;
  base::IntrusiveList<Opening> opens_;
  base::IntrusiveList<Polling> polls_;
  base::IntrusiveList<Polling>
      asked_;  // the backend is being asked for them by poll_at_once(), or has answered
  base::IntrusiveList<FlagsAsked> flags_asked_;
  MessageRuns* flags_heard_ = nullptr;  // of the FETCH that is for them
  uint64_t polls_begun_ = 0;
  uint64_t polls_answered_ = 0;
  PollEnd poll_end_{*this};
  bool at_leisure_ = false;  // keep() waits for something to do
  async::WaitList wake_;     // of keep()
  async::WaitList changed_;  // suspended, complete
  base::Instant alone_since_{};
  base::Instant last_visit_{};  // the backend was asked what is new, or was to be
  base::Instant last_heard_{};  // it has answered
  base::Instant quiet_since_{};
  base::Millis visit_pause_{0};  // until a suspended mailbox is visited for those who idle
};

}  // namespace imapmux::mailbox
