// ExclusiveSession: the commands that open, close and change mailboxes.
#include <algorithm>

#include "base/log.h"
#include "session/capture.h"
#include "session/command_check.h"
#include "session/exclusive_session.h"
#include "wire/mailbox_name.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using mailbox::LeaseKind;
using mailbox::LeaseRequest;
using wire::Verb;
using Place = mailbox::MailboxArbiter::Ticket::Place;

// A name that nobody has: selecting it fails with NO, which deselects (RFC 3501, 6.3.1) without expunging.
constexpr std::string_view kNobodysMailbox = "imapmux-8f1d2c7b-no-such-mailbox";

std::string quoted(std::string_view name) {
  std::string text;
  wire::write_string(text, name);
  return text;
}

}  // namespace

void ExclusiveSession::selected(std::string name, mailbox::MailboxKey key, bool read_only) {
  const mailbox::MailboxIdentity identity{numbers_.uid_validity, numbers_.uid_next, numbers_.exists};
  const auto suspect = client_.host().suspects().opened(holder_, seat_.backend->name, key, identity);
  if (suspect)
    base::log::warn(
        "backend {}: mailboxes \"{}\" and \"{}\" look like one and the same; if they are, name them in "
        "mailbox_aliases or shared_namespaces",
        seat_.backend->name, suspect->mailbox, key.mailbox);
  numbers_.grew = false;
  client_.now_in(key.mailbox);
  selected_ = Selected{std::move(name), std::move(key), read_only};
  vanished_ = false;
  client_.enter(State::kSelected);
}

void ExclusiveSession::deselected() {
  client_.host().suspects().closed(holder_);
  selected_.reset();
  client_.now_in("");
  client_.enter(State::kAuthenticated);
}

// A mailbox that is free is taken at once; else the open one is closed first, so that nobody who waits holds
// anything.
Task<ExclusiveSession::Refusal> ExclusiveSession::lease_for_select(LeaseRequest request) {
  if (!selected_) {
    auto refusal = co_await lease({std::move(request)}, Place::kInLine);
    co_return refusal;
  }
  if (is_selected(request.key)) {
    auto refusal = co_await lease({std::move(request)}, Place::kAsHolder);
    co_return refusal;
  }
  if (client_.host().arbiter().try_now(make_ticket({request}, Place::kInLine))) co_return std::nullopt;
  const auto before = selected_->key;
  co_await deselect();
  deselected();
  release(before);
  auto refusal = co_await lease({std::move(request)}, Place::kInLine);
  co_return refusal;
}

Task<> ExclusiveSession::select(Entry entry) {
  co_await learn_delimiter();
  const auto& command = entry.command;
  auto name = opened_mailboxes(command).front();
  const auto key = naming_->key(name);
  const auto kind = command.verb == Verb::kSelect ? LeaseKind::kSelect : LeaseKind::kExamine;
  auto refusal = co_await lease_for_select({key, kind});
  if (refusal) {
    answer(entry.command.tag, *refusal);
    co_return;
  }

  const auto before = selected_;
  const auto numbers_before = numbers_;
  numbers_ = {};
  vanished_ = false;
  auto reply = co_await relay(entry);
  if (reply.ok()) {
    if (before) deselected();
    selected(std::move(name), key, command.verb == Verb::kExamine || reply.code == "READ-ONLY");
    if (before) release(before->key);
    // SELECT, then EXAMINE: others may read beside it now.
    client_.host().arbiter().settle(holder_, key, kind);
  } else if (reply.status == wire::ResponseName::kNo) {
    // A failed SELECT deselects, on all servers known.
    if (before) deselected();
    if (before) release(before->key);
    release(key);
  } else {
    numbers_ = numbers_before;  // BAD changes nothing
    release(key);
  }
  answer(command.tag, reply);
}

Task<> ExclusiveSession::close(Entry entry) {
  if (vanished_) {
    vanished_ = false;
    answer(entry.command.tag, "OK CLOSE completed");
    co_return;
  }
  auto reply = co_await relay(entry);
  if (reply.ok()) {
    const auto key = selected_->key;
    deselected();
    release(key);
  }
  answer(entry.command.tag, reply);
}

Task<> ExclusiveSession::unselect(Entry entry) {
  if (!vanished_) {
    const auto key = selected_->key;
    co_await deselect();
    deselected();
    release(key);
  }
  vanished_ = false;
  answer(entry.command.tag, "OK UNSELECT completed");
}

// Without expunging, whatever the server can: never CLOSE in read-write state.
Task<> ExclusiveSession::deselect() {
  Capture unseen(Capture::What::kEverything);
  if (backend_can().has("UNSELECT")) {
    auto reply = co_await run_unseen("UNSELECT", unseen);
    if (reply.ok()) co_return;
  }
  if (!selected_->read_only) {
    auto reply = co_await run_unseen("SELECT " + std::string(kNobodysMailbox), unseen);
    if (reply.status == wire::ResponseName::kNo) co_return;
    // BAD does not deselect, and OK would be a surprise: the long way.
    auto examined = co_await run_unseen("EXAMINE " + quoted(selected_->name), unseen);
    if (examined.status == wire::ResponseName::kNo) co_return;  // that deselects too
    if (!examined.ok()) {
      // CLOSE in read-write state would expunge. Severing deselects, too.
      connection().abort();
      throw net::ConnectionLost(net::Side::kBackend, "the mailbox can't be closed without expunging");
    }
  }
  co_await run_unseen("CLOSE", unseen);
}

Task<> ExclusiveSession::status(Entry entry) {
  co_await learn_delimiter();
  const auto key = naming_->key(opened_mailboxes(entry.command).front());
  if (is_selected(key)) {
    co_await status_of_selected(std::move(entry));
    co_return;
  }
  auto refusal = co_await lease({{key, LeaseKind::kStatus}}, Place::kAsHolder);
  if (refusal) {
    answer(entry.command.tag, *refusal);
    co_return;
  }
  auto reply = co_await relay(entry);
  release(key);
  answer(entry.command.tag, reply);
}

Task<std::optional<std::vector<uint32_t>>> ExclusiveSession::search(std::string keys) {
  Capture capture(Capture::What::kSearchOnly);
  auto reply = co_await run_unseen("UID SEARCH " + keys, capture);
  if (!reply.ok()) co_return std::nullopt;
  co_return std::move(capture.found);
}

Task<bool> ExclusiveSession::learn_uid_next() {
  if (numbers_.exists == 0) {
    numbers_.uid_next = std::max<uint32_t>(numbers_.uid_next, 1);
    co_return true;
  }
  // n:* names the last message even if its UID is below n.
  const std::string from = numbers_.uid_next ? std::to_string(numbers_.uid_next) + ":*" : "*";
  auto found = co_await search("UID " + from);
  if (!found) co_return false;
  for (const uint32_t uid : *found) numbers_.uid_next = std::max(numbers_.uid_next, uid + 1);
  co_return numbers_.uid_next != 0;
}

// RFC 2683, 3.1.1: STATUS of the selected mailbox makes legacy servers answer stale numbers, complain, or
// sever the session. The same numbers come from NOOP and SEARCH.
Task<> ExclusiveSession::status_of_selected(Entry entry) {
  auto polled = co_await connection().run("NOOP");
  if (!polled.ok()) {
    answer(entry.command.tag, polled);
    co_return;
  }
  std::string line = "STATUS ";
  line += quoted(opened_mailboxes(entry.command).front());
  line += " (";
  std::string separator;
  const auto items = status_items(entry.command);
  for (const auto& item : items) {
    uint32_t value = 0;
    if (item == "MESSAGES") {
      value = numbers_.exists;
    } else if (item == "RECENT") {
      value = std::min(numbers_.recent, numbers_.exists);
    } else if (item == "UIDVALIDITY") {
      value = numbers_.uid_validity;
    } else if (item == "UIDNEXT") {
      auto known = co_await learn_uid_next();
      if (!known) {
        answer(entry.command.tag, "NO The mail server does not tell");
        co_return;
      }
      value = numbers_.uid_next;
    } else {  // UNSEEN, and DELETED (RFC 9051)
      auto found = co_await search(item);
      if (!found) {
        answer(entry.command.tag, "NO The mail server does not tell");
        co_return;
      }
      value = static_cast<uint32_t>(found->size());
    }
    line += separator + item + " " + std::to_string(value);
    separator = " ";
  }
  client_.writer().untagged(line + ")");
  answer(entry.command.tag, "OK STATUS completed");
}

Task<> ExclusiveSession::copy(Entry entry) {
  co_await learn_delimiter();
  const auto key = naming_->key(opened_mailboxes(entry.command).front());
  if (!is_selected(key)) {
    auto refusal = co_await lease({{key, LeaseKind::kAppend}}, Place::kAsHolder);
    if (refusal) {
      answer(entry.command.tag, *refusal);
      co_return;
    }
  }
  auto reply = co_await relay(entry);
  release(key);
  answer(entry.command.tag, reply);
}

Task<> ExclusiveSession::restructure(Entry entry) {
  co_await learn_delimiter();
  std::vector<LeaseRequest> requests;
  for (const auto& name : opened_mailboxes(entry.command))
    requests.push_back({naming_->key(name), LeaseKind::kRestructure});
  auto refusal = co_await lease(requests, Place::kAsHolder);
  if (refusal) {
    answer(entry.command.tag, *refusal);
    co_return;
  }

  // One's own selected mailbox is closed first: servers refuse, or say BYE later.
  const auto before = selected_;
  const auto& first = requests.front().key;
  // RENAME takes what is below along, DELETE leaves it (RFC 3501, 6.3.4 and 6.3.5).
  const bool takes_inferiors = entry.command.verb == Verb::kRename;
  const bool own =
      before && (before->key == first || (takes_inferiors && before->key.scope == first.scope &&
                                          wire::is_inferior(before->key.mailbox, first.mailbox, delimiter_)));
  if (own) co_await deselect();
  auto reply = co_await relay(entry);
  if (own && reply.ok()) {
    deselected();
    vanished_ = true;
    release(before->key);
  } else if (own) {
    auto back = co_await select_again(*before);
    if (!back) {
      answer(entry.command.tag, reply);
      client_.say_bye("[UNAVAILABLE] The mailbox can't be opened again");
      client_.end("mailbox lost after a failed DELETE or RENAME");
      co_return;
    }
  }
  if (selected_)
    client_.host().arbiter().settle(holder_, selected_->key,
                                    selected_->read_only ? LeaseKind::kExamine : LeaseKind::kSelect);
  for (const auto& request : requests) release(request.key);
  answer(entry.command.tag, reply);
}

// Opens what a failed DELETE had to close. The client learns of new mail; if mail has gone it can't be told
// by whom.
Task<bool> ExclusiveSession::select_again(Selected before) {
  Capture capture(Capture::What::kEverything);
  const auto numbers = numbers_;
  auto reply =
      co_await run_unseen((before.read_only ? "EXAMINE " : "SELECT ") + quoted(before.name), capture);
  const bool same = numbers.uid_validity == 0 || numbers.uid_validity == numbers_.uid_validity;
  if (!reply.ok() || !same || capture.exists < numbers.exists) co_return false;
  if (capture.exists > numbers.exists) client_.writer().untagged(std::to_string(capture.exists) + " EXISTS");
  co_return true;
}

Task<> ExclusiveSession::name_space(Entry entry) {
  if (backend_can().has("NAMESPACE")) {
    auto reply = co_await relay(entry);
    answer(entry.command.tag, reply);
    co_return;
  }
  co_await learn_delimiter();
  std::string delimiter = "NIL";
  if (delimiter_) {
    delimiter.clear();
    wire::write_quoted(delimiter, std::string_view(&delimiter_, 1));
  }
  client_.writer().untagged("NAMESPACE ((\"\" " + delimiter + ")) NIL NIL");
  answer(entry.command.tag, "OK NAMESPACE completed");
}

}  // namespace imapmux::session
