#include "simulation/session_audit.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/bytes.h"
#include "wire/search_keys.h"

namespace imapmux::simulation {

using wire::Response;
using wire::ResponseName;
using wire::ResponseParser;
using wire::Verb;

SessionAudit::SessionAudit(AuditContext context, std::string user, std::string name)
    : context_(context),
      user_(std::move(user)),
      name_(std::move(name)),
      parser_({.max_line = size_t{1} << 24, .max_inline = size_t{1} << 24}) {}

void SessionAudit::fail(const std::string& what) {
  context_.world.dialogue.note(name_, "!!! " + what);
  context_.world.verdict.fail(name_, what);
}

// --- the client's doing

void SessionAudit::sends(const CommandPtr& command, std::string_view part) {
  auto running = std::ranges::find(running_, command, &Running::command);
  if (running == running_.end()) {
    running = running_.emplace(running_.end());
    running->command = command;
    // APPEND is dealt with before its message has come.
    running->begins = sent_ + (command->verb == Verb::kAppend ? part.find('\n') + 1 : part.size());
  }
  if (running->part_ends.empty()) running->starts = sent_;
  sent_ += part.size();
  running->part_ends.push_back(sent_);
}

void SessionAudit::sends_done(std::string_view octets) {
  sent_ += octets.size();
  for (auto& running : running_) {
    if (running.command->verb != Verb::kIdle) continue;
    running.done = now();
    running.done_end = sent_;
  }
}

void SessionAudit::reads(bool reading) {
  reading_ = reading;
  slow_until_ = context_.world.scheduler.now();
}

void SessionAudit::leaves() {
  leaving_ = true;
}

void SessionAudit::on_delivered(std::string_view octets) {
  context_.world.dialogue.said(name_, Dialogue::Direction::kToProxy, octets);
  delivered_ += octets.size();
  for (auto& running : running_) {
    const bool complete = running.part_ends.size() == running.command->parts.size();
    if (!running.delivered && complete && running.part_ends.back() <= delivered_) understand(running);
  }
}

// What the command means, with what its client has been told by now.
void SessionAudit::understand(Running& running) {
  running.delivered = now();
  const auto& command = *running.command;
  const bool copies = command.is({Verb::kCopy, Verb::kUidCopy, Verb::kMove, Verb::kUidMove});
  if (open_) {
    const auto& picture = open_->picture;
    running.attached = context_.is_attached(*open_->history);
    running.exists = picture.exists();
    running.last_uid = picture.last_uid();
    running.first_new_uid = open_->history->uid_next();
    std::vector<wire::SequenceSet> numbers;
    if (command.verb == Verb::kSearch || command.verb == Verb::kUidSearch) {
      for (const auto& message : picture.messages()) running.known.push_back(message.id);
      for (const auto& piece : wire::parse_search(command.keys).number_sets)
        if (auto set =
                wire::SequenceSet::parse(std::string_view(command.keys).substr(piece.offset, piece.length)))
          numbers.push_back(*set);
    } else if (command.by_number()) {
      numbers.push_back(command.set);
    }
    for (const auto& set : numbers)
      running.highest =
          std::max({running.highest, set.max(running.exists), 1U});  // "*" of nothing is no number
    uint32_t number = 0;
    for (const auto& message : picture.messages()) {
      ++number;
      const bool meant = command.by_uid()
                             ? message.uid != 0 && command.set.contains(message.uid, picture.last_uid())
                             : command.set.contains(number, running.exists);
      if (meant) running.addressed.push_back({message.id, message.uid});
    }
    if (const auto* target = copies && !running.beyond(running.exists) ? target_of(command) : nullptr) {
      for (const auto& message : running.addressed)
        if (const auto* mail = mail_of(message)) context_.promises.asked(target->id(), mail->token);
    }
  }
  if (command.verb == Verb::kAppend)
    if (const auto* target = target_of(command)) context_.promises.asked(target->id(), command.token);
}

const MailboxHistory* SessionAudit::target_of(const Command& command) const {
  return context_.history.find(user_, command.mailbox);
}

Running* SessionAudit::oldest() {
  for (auto& running : running_)
    if (running.begun_at_proxy(delivered_)) return &running;
  return nullptr;
}

// --- what the proxy says

void SessionAudit::on_written(std::string_view octets) {
  context_.world.dialogue.said(name_, Dialogue::Direction::kFromProxy, octets);
  while (!context_.world.verdict.failed()) {
    inside_response_ = inside_response_ || !octets.empty();
    switch (parser_.next(octets)) {
      case ResponseParser::Event::kNeedMore:
        return;
      case ResponseParser::Event::kResponse:
        inside_response_ = false;
        on_response(parser_.response());
        break;
      case ResponseParser::Event::kLiteralData:
      case ResponseParser::Event::kText:
        break;
      case ResponseParser::Event::kMalformed:
        fail("the response is malformed: " + parser_.problem());
        return;
    }
  }
}

void SessionAudit::on_response(const Response& response) {
  if (!greeted_) {
    greeted_ = true;
    if (response.kind != Response::Kind::kUntagged || response.name != ResponseName::kOk) fail("no greeting");
    return;
  }
  switch (response.kind) {
    case Response::Kind::kContinuation:
      on_go_ahead();
      break;
    case Response::Kind::kTagged:
      on_tagged(response);
      break;
    case Response::Kind::kUntagged:
      on_untagged(response);
      break;
  }
}

void SessionAudit::on_go_ahead() {
  for (auto& running : running_) {
    if (running.command->verb == Verb::kIdle && running.is_delivered() && !idling_) {
      idling_ = true;
      idles_since_ = now();
      return;
    }
    // A part that was sent, has come, and has another one behind it.
    const size_t parts = running.part_ends.size();
    const bool waits = parts < running.command->parts.size() && running.go_aheads < parts;
    if (waits && running.part_ends.back() <= delivered_) {
      ++running.go_aheads;
      return;
    }
  }
  fail("\"+\" where no command waits for it");
}

void SessionAudit::on_tagged(const Response& response) {
  const auto found = std::ranges::find_if(
      running_, [&](const Running& running) { return running.command->tag == response.tag; });
  if (found == running_.end()) {
    fail(fmt::format("the tag {} is answered twice, or was never sent", response.tag));
    return;
  }
  Reply reply;
  reply.status = response.name;
  reply.code = base::upper(response.code);
  reply.code_arguments = response.code_arguments;
  reply.text = response.arguments;
  // Refused before its literal.
  const bool refused = !reply.ok() && found->begun_at_proxy(delivered_);
  if (!found->is_delivered() && !refused) {
    fail(fmt::format("{} is answered before it was there", response.tag));
    return;
  }
  last_answer_ = context_.world.scheduler.now();
  judge(check_answer(*found, reply));
  take_effect(*found, reply);
  running_.erase(found);
}

// What the answer means for the state of the session.
void SessionAudit::take_effect(const Running& running, const Reply& reply) {
  switch (running.command->verb) {
    case Verb::kSelect:
    case Verb::kExamine:
      if (!reply.bad()) open_.reset();
      if (reply.ok()) open_ = std::move(opening_);
      opening_.reset();
      break;
    case Verb::kClose:
    case Verb::kUnselect:
      if (reply.ok()) open_.reset();
      break;
    case Verb::kIdle:
      idling_ = false;
      break;
    default:
      break;
  }
  const bool reaches_backend = running.command->is(
      {Verb::kNoop, Verb::kCheck, Verb::kSearch, Verb::kUidSearch, Verb::kSelect, Verb::kExamine});
  if (open_ && reply.ok() && reaches_backend) open_->fresh = std::max(open_->fresh, *running.delivered);
}

bool SessionAudit::selecting() {
  const auto* first = oldest();
  return first && first->command->is({Verb::kSelect, Verb::kExamine}) && first->is_delivered();
}

OpenMailbox* SessionAudit::subject() {
  if (!selecting()) return open_ ? &*open_ : nullptr;
  if (!opening_) {
    const auto& command = *oldest()->command;
    opening_.emplace();
    opening_->history = context_.history.find(user_, command.mailbox);
    opening_->read_only = command.verb == Verb::kExamine;
    opening_->opened = *oldest()->delivered;
    if (!opening_->history) fail("a mailbox that is not there is described");
  }
  return &*opening_;
}

void SessionAudit::on_untagged(const Response& response) {
  switch (response.name) {
    case ResponseName::kBye:
      on_bye(response);
      return;
    case ResponseName::kOk:
    case ResponseName::kNo:
    case ResponseName::kBad:
      on_remark(response);
      return;
    case ResponseName::kCapability:
    case ResponseName::kList:
    case ResponseName::kLsub:
    case ResponseName::kNamespace:
    case ResponseName::kEnabled:
    case ResponseName::kId:
      if (!oldest()) fail("an answer without a command");
      return;
    case ResponseName::kStatus:
      for (auto& running : running_) {
        if (running.command->verb != Verb::kStatus || !running.is_delivered() || running.status) continue;
        running.status = std::string(response.arguments);
        return;
      }
      fail("STATUS that nobody asked for");
      return;
    case ResponseName::kSearch:
      on_search(response.arguments);
      return;
    default:
      break;
  }
  auto* box = subject();
  if (!box || !box->history) {
    fail("something is told of a mailbox, and none is open");
    return;
  }
  if (!oldest()) {
    fail("something is told of the mailbox, and no command is in progress");
    return;
  }
  switch (response.name) {
    case ResponseName::kFlags:
      if (!parse_flag_list(response.arguments)) fail("malformed FLAGS");
      break;
    case ResponseName::kExists:
      on_exists(response.number);
      break;
    case ResponseName::kRecent:
      box->recent = response.number;
      if (!selecting()) judge(box->picture.told_recent(response.number));
      break;
    case ResponseName::kExpunge:
      if (!response.line.ends_with(" EXPUNGE")) fail("EXPUNGE by another name");
      on_expunge(response.number);
      break;
    case ResponseName::kFetch:
      on_fetch(response.number, response.arguments);
      break;
    default:
      fail(fmt::format("an unknown response: {}", response.line));
  }
}

// "* OK [CODE …] text"
void SessionAudit::on_remark(const Response& response) {
  const std::string code = base::upper(response.code);
  if (code == "CLOSED" && selecting()) {
    opening_.reset();  // what came before was of the other mailbox
    return;
  }
  wire::TokenReader arguments(response.code_arguments);
  if (code == "UIDVALIDITY" || code == "UIDNEXT") {
    auto* box = subject();
    const auto number = arguments.number();
    if (!box || !number) {
      fail(code + " without a mailbox, or without a number");
      return;
    }
    (code == "UIDNEXT" ? box->uid_next : box->uid_validity) = *number;
  }
}

// With exclusive access a session finds out only in its turn that a literal can't go on where it was cut off.
bool SessionAudit::was_cut_lately() const {
  const base::Millis lately(context_.rules.shared() ? 100 : 20'000);
  return context_.world.losses_since(user(),
                                     context_.world.moments.at(context_.world.scheduler.now() - lately)) > 0;
}

void SessionAudit::on_bye(const Response& response) {
  said_bye_ = true;
  const bool asked = std::ranges::any_of(
      running_, [](const Running& running) { return running.command->verb == Verb::kLogout; });
  // One that comes in the middle of a literal leaves nothing else to say.
  if (was_cut_lately()) return;
  const bool another_identity = base::equals_ignore_case(response.code, "UNAVAILABLE") && open_ &&
                                open_->history && open_->history->retired();
  if (another_identity) return;
  const bool logs_in = !running_.empty() && running_.front().command->verb == Verb::kLogin;
  if (logs_in) return;  // who guesses gets only a connection that is free, and login_timeout is over first
  if (!asked && !leaving_) fail("BYE, and nobody asked for it");
}

void SessionAudit::on_stream_closed() {
  stream_closed_ = true;
  if (was_cut_lately()) return;
  // Where the rest of a response never comes, a BYE would be taken for it; and who does not read does not get
  // it.
  const bool another_identity = open_ && open_->history && open_->history->retired();
  if (another_identity && (inside_response_ || !reading_)) return;
  if (!leaving_ && !said_bye_) fail("the proxy closed the connection without BYE");
}

// --- from time to time

void SessionAudit::look_after() {
  const auto time = context_.world.scheduler.now();
  const auto& rules = context_.rules;
  if (!reading_) slow_until_ = time;
  if (leaving_ || stream_closed_ || (slow_until_ && time - *slow_until_ < rules.answer_limit)) return;
  for (const auto& running : running_) {
    const bool idle = running.command->verb == Verb::kIdle;
    if (!running.is_delivered() || (idle && (!running.done || running.done_end > delivered_))) continue;
    const auto since = std::max(idle ? running.done->time : running.delivered->time, last_answer_);
    if (time - since > rules.answer_limit) fail(running.command->tag + " is not answered");
    break;  // one after the other
  }
  // With exclusive access the mailbox may be others' for as long as they work with it.
  if (!rules.shared() || !idling_ || !open_ || oldest()->command->verb != Verb::kIdle) return;
  const auto due = time - rules.idle_limit;
  if (idles_since_.time > due) return;
  // Polls of a mailbox that was severed back off: the proxy does not fight with somebody else.
  if (context_.world.losses_since(user(), context_.world.moments.at(time - base::Millis(700'000))) > 0)
    return;
  if (auto problem = behind(*open_, context_.world.moments.at(due))) fail("in IDLE for a while: " + *problem);
}

void SessionAudit::settled() {
  if (!open_) return;
  if (open_->history->retired()) {
    fail("settled: the mailbox has another UIDVALIDITY, which was not told");
    return;
  }
  const auto& messages = open_->picture.messages();
  const auto& alive = open_->history->alive();
  if (messages.size() != alive.size()) {
    fail(fmt::format("settled: {} messages are known, {} are there", messages.size(), alive.size()));
    return;
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto* mail = open_->history->find(alive[i]);
    if (messages[i].uid != 0 && messages[i].uid != alive[i])
      fail(fmt::format("settled: message {} is known as UID {}, and is UID {}", i + 1, messages[i].uid,
                       alive[i]));
    if (messages[i].flags && *messages[i].flags != mail->message.flags)
      fail(fmt::format("settled: message {} (UID {}) is known with the flags ({}), and has ({})", i + 1,
                       alive[i], fmt::join(*messages[i].flags, " "), fmt::join(mail->message.flags, " ")));
  }
}

}  // namespace imapmux::simulation
