// One backend connection of an account, and whose turn it is on it.
//
// All commands in flight belong to one party, so that untagged answers have one owner. Parties take turns in
// the order in which they asked. What one party pipelines is pipelined to the backend; its turn ends when
// nothing of it is in flight and somebody waits, and when somebody waits it may begin nothing more after 64
// commands, 1 MiB or `min_hold`.
//
// Owned by its SharedAccount (and by whoever waits on it), on that worker's thread. A party may go at any
// time: what it has in flight is answered into nobody's hands, and its turn lasts until then.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "async/task_scope.h"
#include "backend/backend_connection.h"
#include "mailbox/account.h"
#include "mailbox/account_status.h"
#include "net/spool.h"

namespace imapmux::mailbox {

class SharedConnection;
class SharedMailbox;

// Who takes turns: a client's session, or the upkeep of a mailbox. Leaves (SharedConnection::leave) every
// connection that it ever asked for a turn before it is destroyed.
class Party {
 public:
  // In its turn: what the backend says and is not the mailbox's own matter. Views are valid during the call;
  // with `literal`, its octets come next by on_literal(), then on_text().
  virtual void on_untagged(const wire::Response& response,
                           std::optional<backend::LiteralStart> literal) noexcept = 0;
  virtual void on_literal(std::string_view octets) noexcept = 0;
  virtual void on_text(std::string_view text, std::optional<backend::LiteralStart> literal) noexcept = 0;
  // A FETCH response of `mailbox`. False: not for this party.
  virtual bool on_fetch(const SharedMailbox& mailbox, const wire::Response& response,
                        std::optional<backend::LiteralStart> literal) noexcept = 0;
  // Somebody waits for the turn that it has.
  virtual void on_others_wait() noexcept {}
  // Its turn may go on: something was answered, or went out that had piled up.
  virtual void on_progress() noexcept {}

 protected:
  ~Party() = default;
};

// What is sent as one command, where it does not go out at once: texts, and messages behind them.
struct Order {
  struct Part {
    std::string text;
    std::shared_ptr<net::Spool> message;  // behind the text; may be null
    bool waits = false;                   // for "+" before its text: a synchronising literal begins here
  };
  std::vector<Part> parts;
};

class SharedConnection final : public std::enable_shared_from_this<SharedConnection>,
                               private backend::ResponseObserver {
 public:
  // What the mailbox that is open on the connection has to know of it.
  class Attachment {
   public:
    // Whose matter it was.
    enum class Taken : uint8_t { kNo, kByMailbox, kByParty };
    virtual Taken on_untagged(Party* party, const wire::Response& response,
                              std::optional<backend::LiteralStart> literal) noexcept = 0;
    // What follows a literal of it. `by_party`: the party reads it.
    virtual void on_text(bool by_party, std::string_view text,
                         std::optional<backend::LiteralStart> literal) noexcept = 0;
    virtual void on_connection_lost(const std::string& reason) noexcept = 0;

   protected:
    ~Attachment() = default;
  };
  // The account's side.
  class Owner {
   public:
    virtual async::TaskScope& tasks() = 0;
    virtual base::Millis min_hold() const = 0;
    virtual void on_connection_lost(SharedConnection& connection, const std::string& reason) noexcept = 0;
    // It has become free, or free of its mailbox.
    virtual void on_connection_free(SharedConnection& connection) noexcept = 0;
    virtual void on_alert(std::string_view line) noexcept = 0;

   protected:
    ~Owner() = default;
  };

  SharedConnection(Owner& owner, std::unique_ptr<backend::BackendConnection> connection, Account::Slot place);
  ~SharedConnection();

  // Takes what the backend says from here on.
  void begin();

  // True: the party may send now; the turn lasts until end() was called as often and all is answered.
  bool try_turn(Party& party);
  // Waits for it. False: the connection is lost. Cancelled like every wait.
  async::Task<bool> turn(Party& party);
  void end(Party& party);
  // Free: nobody's turn, nobody waiting.
  bool free() const {
    return !lost() && holds_ == 0 && flights_.empty() && waiting_.empty() && !connection_->mid_command();
  }
  // The same, or its party only idles and gives way at once.
  bool available() const { return free() || (resting_ && !lost() && waiting_.empty()); }
  void rest(bool resting) { resting_ = resting; }
  ConnectionState state() const;
  size_t waiting() const { return waiting_.size(); }
  bool others_wait() const { return !waiting_.empty(); }
  base::Instant last_used() const { return last_used_; }

  // In the party's turn. `completion` is told of the end, unless forgotten first.
  std::string next_tag() { return connection_->next_tag(); }
  // `pieces`: see wire::write_command(). With more than one, nothing else may be sent before it is answered.
  void send(Party& party, const std::string& tag, std::vector<std::string> pieces,
            backend::Completion& completion);
  // The same for a command in one line (see wire::is_plain()), without tag and line end.
  void send_line(Party& party, const std::string& tag, std::string_view text,
                 backend::Completion& completion);
  // Runs one command (without tag and line end) and waits for its end; untagged answers go to the party.
  // Throws net::ConnectionLost. Who is cancelled while he waits leaves the command to come to its end; `held`
  // (leases, say) lasts until then.
  async::Task<backend::TaggedReply> run(Party& party, std::string text, std::shared_ptr<void> held = nullptr);
  // The same for what can't be sent in one piece. The parts begin behind the tag.
  async::Task<backend::TaggedReply> run(Party& party, Order order, std::shared_ptr<void> held = nullptr);
  void forget(backend::Completion& completion);
  // The party goes.
  void leave(Party& party);

  // The mailbox that is open on it, or about to be; null: none.
  void attach(Attachment* attachment);
  bool attached() const { return attachment_ != nullptr; }

  // Or it is being closed: nothing more can be asked on it.
  bool lost() const { return closing_ || connection_->lost(); }
  const std::string& lost_reason() const { return closing_ ? kClosing : connection_->lost_reason(); }
  const backend::Capabilities& capabilities() const { return connection_->capabilities(); }
  wire::LiteralForm literal_form() const { return connection_->literal_form(); }
  size_t unsent() const { return connection_->unsent(); }
  // A command is on its way out in parts.
  bool uploading() const { return !lost() && connection_->mid_command(); }
  // Back-pressure of the party whose turn it is.
  void pause() { connection_->pause(); }
  void resume() { connection_->resume(); }
  void abort(const std::string& reason) { connection_->abort(reason); }
  // It is lost or closed: its socket and its places (K, max_connections) go at once, whoever still refers to
  // it.
  void give_up();
  // It is to be closed for others' sake as soon as nothing needs it: nobody new gets it, and `until_closed`
  // lasts that long.
  void retire(std::shared_ptr<void> until_closed) { retiring_ = std::move(until_closed); }
  bool retiring() const { return retiring_ != nullptr; }
  base::Instant opened_at() const { return opened_at_; }
  const backend::BackendServers::Server* server() const { return connection_->server.get(); }
  // LOGOUT; see BackendConnection::close(). Nobody gets a turn any more.
  async::Task<> close(base::Millis limit, base::Millis busy);
  backend::BackendConnection& backend() { return *connection_; }

 private:
  static const std::string kClosing;
  // A command in flight. Outlives its party.
  struct Flight final : backend::Completion {
    explicit Flight(SharedConnection& of) : connection(of) {}
    void on_tagged(const wire::Response& response) noexcept override;
    void on_lost(const std::string& reason) noexcept override;
    backend::Completion* land();
    SharedConnection& connection;
    backend::Completion* completion = nullptr;
    std::shared_ptr<void> held;
    std::list<Flight>::iterator self;
  };
  struct Waiter : base::ListNode {
    explicit Waiter(Party& of) : party(of) {}
    Party& party;
    async::Event decided;
    bool granted = false;
  };
  class Waiting;
  class Reply;

  Flight& take_off(Party& party, backend::Completion& completion);
  bool turn_over() const;
  void count(size_t octets);
  void pass_on();
  void give_turn(Party& party);
  async::Task<> ship(std::shared_ptr<SharedConnection> self, std::string tag, Order order);
  async::Task<bool> ship_message(net::Spool& message);
  async::Task<> outlast(std::shared_ptr<SharedConnection> self);

  void on_untagged(const wire::Response& response,
                   std::optional<backend::LiteralStart> literal) noexcept override;
  void on_literal(std::string_view octets) noexcept override;
  void on_text(std::string_view text, std::optional<backend::LiteralStart> literal) noexcept override;
  void on_backend_lost(const std::string& reason) noexcept override;
  void on_backend_drained() noexcept override;

  Owner& owner_;
  std::unique_ptr<backend::BackendConnection> connection_;
  Account::Slot place_;
  Attachment* attachment_ = nullptr;
  Party* party_ = nullptr;   // whose turn it is; null with something in flight: it has gone
  Party* reader_ = nullptr;  // who gets the rest of the response that has begun
  bool closing_ = false;
  bool resting_ = false;
  std::shared_ptr<void> retiring_;
  base::Instant opened_at_{};
  size_t holds_ = 0;
  size_t commands_ = 0;  // of this turn
  size_t octets_ = 0;
  uint64_t received_ = 0;  // in all
  base::Instant turn_began_{};
  base::Instant last_used_{};
  base::IntrusiveList<Waiter> waiting_;
  std::list<Flight> flights_;
  std::list<Flight> spare_;
  async::WaitList drained_;
  async::WaitList landed_;  // nothing is in flight any more
};

// Ends a turn that began by try_turn() or turn().
class TurnEnd {
 public:
  TurnEnd(std::shared_ptr<SharedConnection> connection, Party& party)
      : connection_(std::move(connection)), party_(party) {}
  ~TurnEnd() { connection_->end(party_); }
  TurnEnd(const TurnEnd&) = delete;
  TurnEnd& operator=(const TurnEnd&) = delete;

 private:
  std::shared_ptr<SharedConnection> connection_;
  Party& party_;
};

}  // namespace imapmux::mailbox
