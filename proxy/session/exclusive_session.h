// `exclusive`: each client has a backend connection of its own, and a mailbox is opened under a lease of the
// arbiter only.
//
// Commands that open no mailbox (FETCH, STORE, SEARCH, NOOP, …) are pipelined to the backend under tags of
// the proxy; all others wait until those are answered and run alone. Untagged responses are passed on as they
// come: one client per connection, so their numbers are the client's own. Owned by its ClientSession, on its
// thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mailbox/mailbox_key.h"
#include "session/client_session.h"

namespace imapmux::session {

class ExclusiveSession final : public AfterLogin,
                               private backend::ResponseObserver,
                               private async::ReadyNode {
 public:
  ExclusiveSession(ClientSession& client, Seat seat);
  ~ExclusiveSession() override;

  // Takes what the backend says from here on; after the login was answered.
  void begin();
  // For CAPABILITY and the login's answer.
  std::string capabilities() const;

  async::Task<> serve() override;
  async::Task<> finish() override;
  void on_client_drained() noexcept override;

 private:
  // A pipelined command: its answer goes to the client under the client's tag.
  struct Relayed final : backend::Completion {
    explicit Relayed(ExclusiveSession& of) : session(of) {}
    void on_tagged(const wire::Response& response) noexcept override;
    void on_lost(const std::string& reason) noexcept override;
    ExclusiveSession& session;
    std::string tag;          // the client's
    std::string backend_tag;  // ours
    wire::Family family = wire::Family::kNone;
    std::list<Relayed>::iterator self;
  };
  struct Selected {
    std::string name;  // as the client wrote it
    mailbox::MailboxKey key;
    bool read_only = false;
  };
  // What the client's mailbox looks like, from what passed by.
  struct Numbers {
    uint32_t exists = 0;
    uint32_t recent = 0;
    uint32_t uid_validity = 0;
    uint32_t uid_next = 0;  // 0: the backend did not say
    bool grew = false;      // since SELECT: UIDs that pass by may be beyond uid_next
  };
  // Takes what an inner command of the proxy makes the backend say, in the client's place.
  class Capture;
  // Why a lease was not granted, fit behind a tag; nothing: it was.
  using Refusal = std::optional<std::string>;

  backend::BackendConnection& connection() { return *seat_.connection; }
  const backend::Capabilities& backend_can() const { return seat_.connection->capabilities(); }

  // exclusive_session.cc
  async::Task<> execute(Entry entry);
  std::optional<std::string> refusal(const Entry& entry) const;
  async::Task<> forward(Entry entry);
  async::Task<> all_answered();
  async::Task<backend::TaggedReply> relay(const Entry& entry);
  async::Task<backend::TaggedReply> run_unseen(std::string text, Capture& capture);
  async::Task<> learn_delimiter();
  void answer(std::string_view tag, std::string_view text);
  void answer(std::string_view tag, const backend::TaggedReply& reply);

  // exclusive_leases.cc
  async::Task<Refusal> lease(std::vector<mailbox::LeaseRequest> requests,
                             mailbox::MailboxArbiter::Ticket::Place place);
  std::shared_ptr<mailbox::MailboxArbiter::Ticket> make_ticket(
      std::vector<mailbox::LeaseRequest> requests, mailbox::MailboxArbiter::Ticket::Place place) const;
  void release(const mailbox::MailboxKey& key);
  bool is_selected(const mailbox::MailboxKey& key) const { return selected_ && selected_->key == key; }

  // exclusive_mailboxes.cc
  async::Task<> select(Entry entry);
  async::Task<Refusal> lease_for_select(mailbox::LeaseRequest request);
  void selected(std::string name, mailbox::MailboxKey key, bool read_only);
  void deselected();
  async::Task<> close(Entry entry);
  async::Task<> unselect(Entry entry);
  async::Task<> deselect();
  async::Task<> status(Entry entry);
  async::Task<> status_of_selected(Entry entry);
  async::Task<std::optional<std::vector<uint32_t>>> search(std::string keys);
  async::Task<bool> learn_uid_next();
  void saw_uid(uint32_t uid) {
    numbers_.uid_next = numbers_.uid_next && uid >= numbers_.uid_next ? uid + 1 : numbers_.uid_next;
  }
  async::Task<> copy(Entry entry);
  async::Task<> restructure(Entry entry);
  async::Task<bool> select_again(Selected before);
  async::Task<> name_space(Entry entry);

  // exclusive_reconnect.cc
  bool can_come_back() const;
  async::Task<bool> come_back();

  // exclusive_append.cc
  async::Task<> append(Entry entry);
  async::Task<bool> send_head(const std::string& tag, std::string text, const Entry& literal);
  async::Task<> send_literals(const std::string& tag);
  [[noreturn]] void break_off(std::string_view why);

  // exclusive_idle.cc
  async::Task<> idle(Entry entry);
  async::Task<> wait_idly(base::Instant until);
  async::Task<> idle_on_backend(base::Instant until);
  bool idle_ends() const;

  void on_untagged(const wire::Response& response,
                   std::optional<backend::LiteralStart> literal) noexcept override;
  void on_literal(std::string_view octets) noexcept override;
  void on_text(std::string_view text, std::optional<backend::LiteralStart> literal) noexcept override;
  void on_backend_lost(const std::string& reason) noexcept override;
  void run() override;  // tells the client of it, when what was answered before has been dealt with
  void tell_lost();
  void on_backend_drained() noexcept override { progress_.notify_all(); }
  void track(const wire::Response& response);
  void saw_fetch(std::string_view attributes);
  void pass_esearch(const wire::Response& response);
  void hold_back_if_slow();

  ClientSession& client_;
  Seat seat_;
  mailbox::HolderId holder_;
  std::unique_ptr<mailbox::MailboxNaming> naming_;  // null until the delimiter is known
  char delimiter_ = 0;
  std::optional<Selected> selected_;
  bool away_ = false;      // the backend has gone, and will be connected to again with the next command
  bool vanished_ = false;  // the selected mailbox was deleted by its own client
  Numbers numbers_;
  Capture* capture_ = nullptr;
  bool captured_literal_ = false;
  std::list<Relayed> in_flight_;
  std::list<Relayed> spare_;
  async::WaitList progress_;
  base::Instant next_word_{};     // when a client in IDLE gets one, however often the waiting is interrupted
  std::string current_tag_;       // of the command that runs alone and is not answered yet
  bool outcome_unknown_ = false;  // it changes mail, and may or may not have been done
};

}  // namespace imapmux::session
