// Holds all that the proxy says to one client against what the client asked, what it was told before, and
// what is true (MailHistory). It sits at the proxy's end of the client's link: so it knows which commands the
// proxy had read completely when it wrote a line, which the client can't tell.
//
// One per connection of a client; shared with its link. It outlives the client for a while, since what a
// vanished client asked for may still be done. Its three parts: session_audit.cc (lines, tags, states),
// audit_messages.cc (what is said of messages), audit_answers.cc (whether a command came to its proper end).
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "simulation/fetch_data.h"
#include "simulation/mail_history.h"
#include "simulation/network.h"
#include "simulation/promises.h"
#include "simulation/rules.h"
#include "simulation/running.h"
#include "simulation/world.h"
#include "wire/response_parser.h"

namespace imapmux::simulation {

// What audits need of their run.
struct AuditContext {
  World& world;
  MailHistory& history;
  Promises& promises;
  const Rules& rules;
  // Whether a connection of the proxy has the mailbox open.
  std::function<bool(const MailboxHistory&)> is_attached;
};

class SessionAudit final : public LinkTap {
 public:
  // `user`: whose mailboxes the client gets. `name`: for the dialogue.
  SessionAudit(AuditContext context, std::string user, std::string name);

  // The client's doing, told just before it.
  void sends(const CommandPtr& command, std::string_view part);
  void sends_done(std::string_view octets);  // the end of IDLE
  void reads(bool reading);                  // it stops reading for a while; goes on
  void leaves();  // it sends no more, or has gone: what is not answered by now may never be

  // From time to time: what is overdue.
  void look_after();
  // When nothing has happened any more and the client has asked with NOOP: what it knows is the truth.
  void settled();
  // A change that a connection of the proxy made: whether something that this client asked for can be the
  // reason.
  bool explains(const MailboxHistory& mailbox, const MailboxHistory::Change& change) const;

  const std::string& user() const { return user_; }
  const std::string& name() const { return name_; }
  bool closed() const { return stream_closed_; }
  bool idle() const { return running_.empty(); }
  const OpenMailbox* open() const { return open_ ? &*open_ : nullptr; }
  // The last NOOP was answered without the backend, which may be.
  bool asked_in_vain() const { return open_ && asked_in_vain_; }

  // LinkTap
  void on_delivered(std::string_view octets) override;
  void on_written(std::string_view octets) override;
  void on_stream_closed() override;

 private:
  using Problem = std::optional<std::string>;

  // session_audit.cc
  void understand(Running& running);
  void on_response(const wire::Response& response);
  void on_tagged(const wire::Response& response);
  void on_go_ahead();
  void on_untagged(const wire::Response& response);
  void on_remark(const wire::Response& response);
  bool was_cut_lately() const;
  void on_bye(const wire::Response& response);
  void take_effect(const Running& running, const Reply& reply);
  void fail(const std::string& what);
  void judge(const Problem& problem) {
    if (problem) fail(*problem);
  }
  Running* oldest();
  bool selecting();
  // Where untagged data of a mailbox belong: to the one that is being opened, or that is open.
  OpenMailbox* subject();
  Moment now() { return context_.world.moments.now(); }

  // audit_messages.cc
  void on_exists(uint32_t number);
  void on_expunge(uint32_t number);
  void on_fetch(uint32_t number, std::string_view arguments);
  void on_search(std::string_view arguments);
  const Mail* identify(OpenMailbox& box, uint32_t number, const FetchData& data);
  void check_contents(const Mail& mail, uint32_t number, const FetchData& data);
  void note_answer(uint32_t number, uint64_t id, const FetchData& data);
  // What the client does not know though it happened before `then`.
  Problem behind(const OpenMailbox& box, Moment then) const;

  // audit_answers.cc
  Problem check_answer(const Running& running, const Reply& reply);
  size_t losses_during(const Running& running) const;
  bool long_outage_during(const Running& running) const;
  bool was_answered_without_backend(const Running& running);
  Problem check_refusal(const Running& running, const Reply& reply) const;
  Problem check_fetch(const Running& running) const;
  Problem check_flags(const Running& running, const Running::Addressed& message) const;
  Problem check_store(const Running& running);
  Problem check_search(const Running& running) const;
  Problem check_copy(const Running& running, const Reply& reply);
  Problem check_append(const Running& running, const Reply& reply);
  Problem check_status(const Running& running) const;
  Problem check_opened(const Running& running, const Reply& reply);
  Problem settle_promises(const Running& running, const Reply& reply);
  uint32_t uid_of(const Running::Addressed& message) const;
  const Mail* mail_of(const Running::Addressed& message) const;
  uint32_t lowest_star(const Running& running) const;
  bool may_mean(const Running& running, uint32_t number, uint32_t uid) const;
  bool surely_means(const Running& running, const Running::Addressed& message) const;
  void conclude_flags(const Running& running);
  bool may_address(const Running& running, uint32_t uid) const;
  const MailboxHistory* target_of(const Command& command) const;

  AuditContext context_;
  const std::string user_;
  const std::string name_;
  wire::ResponseParser parser_;
  uint64_t sent_ = 0;
  uint64_t delivered_ = 0;
  std::list<Running> running_;
  std::optional<OpenMailbox> open_;
  std::optional<OpenMailbox> opening_;
  base::Instant last_answer_{};
  bool inside_response_ = false;
  bool greeted_ = false;
  bool asked_in_vain_ = false;
  bool idling_ = false;  // the "+" of IDLE was said
  Moment idles_since_;
  bool reading_ = true;
  std::optional<base::Instant> slow_until_;  // it did not read then
  bool leaving_ = false;
  bool said_bye_ = false;
  bool stream_closed_ = false;
};

}  // namespace imapmux::simulation
