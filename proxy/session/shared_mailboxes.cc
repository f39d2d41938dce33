// SharedSession: the commands that open, close and change mailboxes.
#include <algorithm>

#include "session/command_check.h"
#include "session/shared_session.h"
#include "wire/mailbox_name.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::TaggedReply;
using mailbox::LeaseKind;
using mailbox::LeaseRequest;
using mailbox::SharedMailbox;
using wire::Verb;

constexpr std::string_view kOthersLookOn = "NO [INUSE] Mailbox is in use by another session";

std::string quoted(std::string_view name) {
  std::string text;
  wire::write_string(text, name);
  return text;
}

}  // namespace

SharedSession::Hold::Hold(std::shared_ptr<mailbox::SharedAccount> of)
    : account(std::move(of)), holder(account->workplace().next_holder()) {}

SharedSession::Hold::~Hold() {
  auto& arbiter = account->workplace().arbiter();
  arbiter.release_all(holder);
  if (source) {
    copying.reset();
    arbiter.release(source->holder(), target);
    if (source->at_rest()) arbiter.release(source->holder(), source->key());
  }
  if (copies) account->set_copying(false);
  if (subscribes) account->set_subscribing(false);
}

Task<SharedSession::Refusal> SharedSession::know_names() {
  auto known = co_await account_->know_names();
  if (!known) co_return "NO [UNAVAILABLE] The mail server can't be reached";
  co_return std::nullopt;
}

Task<SharedSession::Refusal> SharedSession::lease(std::vector<LeaseRequest> requests,
                                                  std::shared_ptr<Hold> hold) {
  for (auto& block : hold->blocks) co_await block.suspended();
  const auto& config = account_->config();
  client_.waiting_for("mailbox " + requests.front().key.mailbox);
  mailbox::LeaseWish wish{.holder = hold->holder,
                          .requests = std::move(requests),
                          .rule = mailbox::rule_of(config.conflicts),
                          .own = in_mailbox() ? mailbox_->holder() : 0,
                          .account = account_->id()};
  auto refusal = co_await mailbox::take_leases(account_->workplace(), std::move(wish), config.lease_wait,
                                               client_.nudges(), [this] { return client_.giving_up(); });
  client_.waiting_for("");
  if (refusal) client_.host().shared().counters.in_use.fetch_add(1, std::memory_order_relaxed);
  co_return refusal;
}

// Both mailboxes at once or none: two users who copy crosswise do not wait for each other for ever. Meanwhile
// the source counts as idle.
Task<SharedSession::Refusal> SharedSession::lease_copy(std::shared_ptr<Hold> hold) {
  for (auto& block : hold->blocks) co_await block.suspended();
  const auto& config = account_->config();
  client_.waiting_for("mailbox " + hold->target.mailbox);
  const SharedMailbox::HeldLightly lightly(hold->source);
  const auto kind = read_only ? LeaseKind::kExamine : LeaseKind::kSelect;
  mailbox::LeaseWish wish{.holder = hold->source->holder(),
                          .requests = {{hold->source->key(), kind}, {hold->target, LeaseKind::kAppend}},
                          .rule = mailbox::rule_of(config.conflicts),
                          .place = mailbox::MailboxArbiter::Ticket::Place::kAsHolder};
  auto refusal = co_await mailbox::take_leases(account_->workplace(), std::move(wish), config.lease_wait,
                                               client_.nudges(), [this] { return client_.giving_up(); });
  client_.waiting_for("");
  if (refusal) client_.host().shared().counters.in_use.fetch_add(1, std::memory_order_relaxed);
  if (!refusal) hold->copying.emplace(hold->source);
  co_return refusal;
}

// RFC 3501, 6.3.1: NO leaves nothing selected, BAD changes nothing. Until then the client's view of what it
// had open lives on, and is told nothing.
Task<> SharedSession::select(const Entry& entry) {
  const auto& command = entry.command;
  const auto name = opened_mailboxes(command).front();
  auto unknown = co_await know_names();
  if (unknown) {
    close_previous();
    answer(command, *unknown);
    co_return;
  }
  const auto key = account_->naming().key(name);
  const auto open = account_->mailbox(key, name);
  const auto kind = command.verb == Verb::kSelect ? LeaseKind::kSelect : LeaseKind::kExamine;
  // The same one again is opened as if for the first time: it may have another identity by now.
  if (is_open(key)) close_previous();
  client_.waiting_for("mailbox " + key.mailbox);
  std::optional<SharedMailbox::Leaving> leaving;
  if (in_mailbox()) leaving.emplace(mailbox_);
  auto refusal = co_await open->open(kind, client_.nudges(), [this] { return client_.giving_up(); });
  client_.waiting_for("");
  if (!refusal || !refusal->starts_with("BAD")) close_previous();
  if (refusal) {
    answer(command, *refusal);
    co_return;
  }
  // The view is what is told in the same turn of the loop.
  mailbox_ = open;
  read_only = command.verb == Verb::kExamine;
  mailbox_->join(*this);
  ++view_id_;
  client_.now_in(key.mailbox);
  client_.enter(State::kSelected);
  show_mailbox(command);
}

void SharedSession::close_previous() {
  const bool had_one = in_mailbox() || vanished_;
  leave_selected_state();
  if (had_one) client_.writer().untagged("OK [CLOSED] Previous mailbox closed");
}

void SharedSession::show_mailbox(const wire::Command& command) {
  auto& writer = client_.writer();
  const bool for_reading = read_only || mailbox_->read_only();
  told_read_only = for_reading;
  could_write = !for_reading;
  if (!mailbox_->flags().empty()) writer.untagged("FLAGS " + mailbox_->flags());
  writer.untagged(std::to_string(view.count()) + " EXISTS");
  writer.untagged(std::to_string(recent_told) + " RECENT");
  if (const auto unseen = mailbox_->first_unseen(); unseen != 0)
    writer.untagged("OK [UNSEEN " + std::to_string(unseen) + "] First unseen");
  writer.untagged("OK [UIDVALIDITY " + std::to_string(mailbox_->uid_validity()) + "] UIDs valid");
  writer.untagged("OK [UIDNEXT " + std::to_string(mailbox_->uid_next()) + "] Predicted next UID");
  if (for_reading) {
    writer.untagged("OK [PERMANENTFLAGS ()] No flags permitted");
  } else if (!mailbox_->permanent_flags().empty()) {
    writer.untagged("OK [PERMANENTFLAGS " + mailbox_->permanent_flags() + "] Flags permitted");
  }
  const std::string name(wire::info(command.verb).name);
  writer.tagged(command.tag, (for_reading ? "OK [READ-ONLY] " : "OK [READ-WRITE] ") + name + " completed");
}

Task<> SharedSession::expunge(const Entry& entry) {
  const auto& command = entry.command;
  std::string text = command.text;
  if (command.verb == Verb::kUidExpunge) {
    auto reader = command.reader();
    const auto set = wire::SequenceSet::parse(reader.atom().value_or(""));
    const auto uids = set ? uids_meant(*set, command.verb) : wire::SequenceSet();
    if (uids.empty()) {
      answer(command, set ? "OK UID EXPUNGE completed" : "BAD A sequence set is missing");
      co_return;
    }
    text = "UID EXPUNGE " + uids.to_string();
  }
  auto reply = co_await run_where([this] { return turn_to_write(); }, std::move(text), nullptr);
  answer(command, reply);
}

// Expunges for everybody, silently for this client; it leaves in any case.
Task<> SharedSession::close(const Entry& entry) {
  // It stays a viewer until then: a mailbox that has to be attached first is selected for writing for its
  // sake.
  if (in_mailbox() && !read_only && !mailbox_->read_only())
    co_await run_where([this] { return turn_to_write(); }, "EXPUNGE", nullptr);
  leave_selected_state();
  answer(entry.command, "OK CLOSE completed");
}

Task<> SharedSession::status(const Entry& entry) {
  const auto& command = entry.command;
  auto unknown = co_await know_names();
  if (unknown) {
    answer(command, *unknown);
    co_return;
  }
  const auto key = account_->naming().key(opened_mailboxes(command).front());
  if (auto open = account_->find(key)) {
    co_await status_of_open(entry, std::move(open));
    co_return;
  }
  auto hold = std::make_shared<Hold>(account_);
  std::vector<LeaseRequest> requests{{key, LeaseKind::kStatus}};
  auto refusal = co_await lease(std::move(requests), hold);
  if (refusal) {
    answer(command, *refusal);
    co_return;
  }
  auto reply = co_await run_anywhere(command.text, std::move(hold));
  answer(command, reply);
}

// RFC 2683, 3.1.1: STATUS of a selected mailbox makes legacy servers answer stale numbers, complain, or sever
// the session. The same numbers come from NOOP, the table and SEARCH.
Task<> SharedSession::status_of_open(const Entry& entry, std::shared_ptr<SharedMailbox> open) {
  const auto& command = entry.command;
  const SharedMailbox::Use use(open);
  // It may be let go in the middle of the question: then what is in the table is old.
  for (int tries = 0; tries == 0 || (tries < 3 && !open->attached()); ++tries) {
    auto refusal = co_await ready(open);
    if (refusal) {
      answer(command, *refusal);
      co_return;
    }
    co_await open->poll(SharedMailbox::Poll::kNoop);
  }
  std::string line = "STATUS " + quoted(opened_mailboxes(command).front()) + " (";
  std::string separator;
  for (const auto& item : status_items(command)) {
    uint32_t value = 0;
    if (item == "MESSAGES") {
      value = open->table().known();
    } else if (item == "RECENT") {
      value = open->recent();
    } else if (item == "UIDVALIDITY") {
      value = open->uid_validity();
    } else if (item == "UIDNEXT") {
      value = open->uid_next();
    } else {  // UNSEEN, and DELETED (RFC 9051)
      std::vector<uint32_t> found;
      auto reply = co_await find(open, item, found);
      if (!reply.ok()) {
        answer(command, reply);
        co_return;
      }
      value = static_cast<uint32_t>(found.size());
    }
    line += separator + item + " " + std::to_string(value);
    separator = " ";
  }
  client_.writer().untagged(line + ")");
  answer(command, "OK STATUS completed");
}

Task<TaggedReply> SharedSession::find(std::shared_ptr<SharedMailbox> open, std::string_view key,
                                      std::vector<uint32_t>& uids) {
  struct Listening {
    ~Listening() { to = nullptr; }
    std::vector<uint32_t>*& to;
  };
  const Listening listening{found_};
  found_ = &uids;
  auto reply = co_await run_in(std::move(open), "UID SEARCH " + std::string(key), nullptr);
  co_return reply;
}

Task<> SharedSession::copy(const Entry& entry) {
  const auto& command = entry.command;
  auto unknown = co_await know_names();
  if (!unknown) unknown = co_await numbers_known();
  if (unknown) {
    answer(command, *unknown);
    co_return;
  }
  if (asks_for_news(command)) co_await mailbox_->poll(SharedMailbox::Poll::kNoop);
  const auto prepared = prepare_copy(entry);
  if (prepared.answer) {
    answer(command, *prepared.answer);
    co_return;
  }
  auto reply = co_await copy_to(entry);
  answer(command, reply);
}

// By what is there now: others may remove messages while it waits for its leases and its turn.
SharedSession::Prepared SharedSession::prepare_copy(const Entry& entry) const {
  const auto& command = entry.command;
  const std::string verb(wire::info(command.verb).name);
  auto reader = command.reader();
  const auto set = wire::SequenceSet::parse(reader.atom().value_or(""));
  if (!set) return {{}, "BAD A sequence set is missing"};
  wire::SequenceSet uids;
  if (verb.starts_with("UID ")) {
    uids = uids_meant(*set, command.verb);
    if (uids.empty()) return {{}, "OK " + verb + " completed"};
  } else {
    auto messages = view.messages(*set, mailbox_->table(), told_at(entry));
    if (messages.invalid) return {{}, "BAD There is no message of that number"};
    // RFC 2180, 4.4.1: nothing is copied.
    if (messages.ghosts) return {{}, "NO [EXPUNGEISSUED] Some of the messages are gone"};
    uids = std::move(messages.uids);
  }
  const bool moves = command.verb == Verb::kMove || command.verb == Verb::kUidMove;
  return {(moves ? "UID MOVE " : "UID COPY ") + uids.to_string() + " " +
              quoted(opened_mailboxes(command).front()),
          {}};
}

Task<TaggedReply> SharedSession::run_copy(const Entry& entry, std::shared_ptr<void> held) {
  Turn turn;
  if (wire::info(entry.command.verb).writes) {
    turn = co_await turn_to_write();
  } else {
    turn = co_await turn_in(mailbox_);
  }
  if (!turn.connection) co_return as_reply(*turn.refusal);
  auto prepared = prepare_copy(entry);
  if (prepared.answer) {
    turn.connection->end(*this);
    co_return as_reply(*prepared.answer);
  }
  auto reply = co_await run_in_turn(turn.connection, prepared.text, std::move(held));
  co_return reply ? std::move(*reply) : lost(prepared.text);
}

Task<TaggedReply> SharedSession::copy_to(const Entry& entry) {
  const auto target = account_->naming().key(opened_mailboxes(entry.command).front());
  if (is_open(target)) {
    auto reply = co_await run_copy(entry, nullptr);
    co_await mailbox_->poll(SharedMailbox::Poll::kNoop);
    co_return reply;
  }
  // Two at once, each between mailboxes that the other one needs, would wait for each other.
  while (account_->copying()) co_await account_->changes().wait();
  auto hold = std::make_shared<Hold>(account_);
  hold->copies = true;
  account_->set_copying(true);
  const auto open = account_->find(target);
  if (open) hold->blocks.emplace_back(open);  // never are two connections in one mailbox
  hold->source = mailbox_;
  hold->target = target;
  auto refusal = co_await lease_copy(hold);
  if (refusal) co_return as_reply(*refusal);
  auto reply = co_await run_copy(entry, std::move(hold));
  if (open) open->visit_soon();
  co_return reply;
}

Task<> SharedSession::restructure(const Entry& entry) {
  const auto& command = entry.command;
  auto unknown = co_await know_names();
  if (unknown) {
    answer(command, *unknown);
    co_return;
  }
  auto hold = std::make_shared<Hold>(account_);
  std::vector<LeaseRequest> requests;
  std::vector<std::shared_ptr<SharedMailbox>> affected;
  for (const auto& name : opened_mailboxes(command)) {
    const auto key = account_->naming().key(name);
    requests.push_back({key, LeaseKind::kRestructure});
    if (auto open = account_->find(key)) affected.push_back(std::move(open));
    for (auto& open : account_->inferiors(key)) affected.push_back(std::move(open));
  }
  const auto others_look_on = [&] {
    return std::any_of(affected.begin(), affected.end(),
                       [&](const auto& open) { return open->viewers() > (open == mailbox_ ? 1U : 0U); });
  };
  if (others_look_on()) {  // RFC 2180, 3.1
    answer(command, kOthersLookOn);
    co_return;
  }
  // RENAME takes what is below along, DELETE leaves it (RFC 3501, 6.3.4 and 6.3.5).
  const auto& first = requests.front().key;
  // RENAME INBOX moves its messages away, leaves it empty, and does not touch what is below (6.3.5).
  const bool empties_inbox =
      command.verb == Verb::kRename && base::equals_ignore_case(first.mailbox, "INBOX");
  const bool takes_inferiors = command.verb == Verb::kRename && !empties_inbox;
  const bool own =
      in_mailbox() &&
      (is_open(first) || (takes_inferiors && mailbox_->key().scope == first.scope &&
                          wire::is_inferior(mailbox_->key().mailbox, first.mailbox, account_->delimiter())));
  // Nobody opens them meanwhile, and servers refuse to delete what is selected, or say BYE later.
  for (const auto& open : affected) hold->blocks.emplace_back(open);
  auto refusal = co_await lease(std::move(requests), hold);
  if (!refusal && others_look_on()) refusal = kOthersLookOn;  // who was opening it just then
  if (refusal) {
    answer(command, *refusal);
    co_return;
  }
  auto reply = co_await run_anywhere(command.text, std::move(hold));
  if (own && reply.ok() && !empties_inbox) {
    detach();
    vanished_ = true;
  }
  answer(command, reply);
}

Task<> SharedSession::name_space(const Entry& entry) {
  if (account_->capabilities().has("NAMESPACE")) {
    co_await general(entry);
    co_return;
  }
  auto unknown = co_await know_names();
  if (unknown) {
    answer(entry.command, *unknown);
    co_return;
  }
  std::string delimiter = "NIL";
  if (const char c = account_->delimiter()) {
    delimiter.clear();
    wire::write_quoted(delimiter, std::string_view(&c, 1));
  }
  client_.writer().untagged("NAMESPACE ((\"\" " + delimiter + ")) NIL NIL");
  answer(entry.command, "OK NAMESPACE completed");
}

}  // namespace imapmux::session
