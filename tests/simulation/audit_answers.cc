// SessionAudit: whether a command came to its proper end.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/bytes.h"
#include "demo/search.h"
#include "simulation/session_audit.h"

namespace imapmux::simulation {

using wire::Verb;
using Problem = std::optional<std::string>;

namespace {

bool satisfies(const Command& command, const demo::Flags& flags) {
  return demo::apply(command.mode, flags, command.flags) == flags;
}

bool has_star(std::string_view keys) {
  return keys.find('*') != std::string_view::npos;
}

}  // namespace

uint32_t SessionAudit::uid_of(const Running::Addressed& message) const {
  if (message.uid != 0 || !open_) return message.uid;
  const uint32_t number = open_->picture.number_of(message.id);
  return number == 0 ? 0 : open_->picture.messages()[number - 1].uid;
}

const Mail* SessionAudit::mail_of(const Running::Addressed& message) const {
  return open_ ? open_->history->find(uid_of(message)) : nullptr;
}

// What "*" of UIDs is may have changed between a command's arrival and its execution: it is the view's last
// message, one that is gone included until the client is told.
uint32_t SessionAudit::lowest_star(const Running& running) const {
  return std::min(running.last_uid, open_->picture.last_uid());
}

bool SessionAudit::may_mean(const Running& running, uint32_t number, uint32_t uid) const {
  const auto& set = running.command->set;
  const bool by_uid = running.command->by_uid();
  if (by_uid && uid == 0) return true;  // the client does not know its UID
  const uint32_t which = by_uid ? uid : number;
  const uint32_t last = by_uid ? running.last_uid : running.exists;
  const uint32_t lowest = by_uid ? lowest_star(running) : running.exists;
  return set.contains(which, last) || set.contains(which, lowest) ||
         (which > lowest && set.contains(which, which));
}

bool SessionAudit::surely_means(const Running& running, const Running::Addressed& message) const {
  const uint32_t number = open_->picture.number_of(message.id);
  const auto& set = running.command->set;
  if (number == 0) return false;
  if (running.command->by_uid())
    return set.contains(message.uid, open_->history->uid_next() - 1) &&
           set.contains(message.uid, lowest_star(running));
  return set.contains(number, open_->picture.exists());
}

Problem SessionAudit::check_answer(const Running& running, const Reply& reply) {
  const auto& command = *running.command;
  const std::string name = fmt::format("{} {}", command.tag, command.info().name);
  if (command.malformed)
    return reply.bad() ? std::nullopt : Problem(name + " is malformed, and the answer is not BAD");
  if (auto problem = settle_promises(running, reply)) return name + ": " + *problem;
  if (!reply.ok()) {
    auto problem = check_refusal(running, reply);
    return problem ? name + ": " + *problem : problem;
  }
  Problem problem;
  if (open_ && running.beyond(std::max(running.exists, open_->picture.exists())))
    return name + ": a number is beyond EXISTS, and the answer is not BAD";
  switch (command.verb) {
    case Verb::kNoop:
    case Verb::kCheck:
      asked_in_vain_ = open_ && was_answered_without_backend(running);
      if (open_ && !asked_in_vain_) problem = behind(*open_, *running.delivered);
      break;
    case Verb::kIdle:
      if (!running.done || running.done_end > delivered_) problem = "answered before DONE";
      break;
    case Verb::kSelect:
    case Verb::kExamine:
      problem = check_opened(running, reply);
      break;
    case Verb::kFetch:
    case Verb::kUidFetch:
      problem = check_fetch(running);
      break;
    case Verb::kStore:
    case Verb::kUidStore:
      problem = check_store(running);
      break;
    case Verb::kSearch:
    case Verb::kUidSearch:
      problem = check_search(running);
      break;
    case Verb::kCopy:
    case Verb::kUidCopy:
      problem = check_copy(running, reply);
      break;
    case Verb::kAppend:
      problem = check_append(running, reply);
      break;
    case Verb::kStatus:
      problem = check_status(running);
      break;
    default:
      break;
  }
  return problem ? name + ": " + *problem : problem;
}

size_t SessionAudit::losses_during(const Running& running) const {
  return context_.world.losses_since(user(), *running.delivered);
}

// The server was away for about as long as a command waits for it.
bool SessionAudit::long_outage_during(const Running& running) const {
  const auto long_enough = context_.rules.backend_wait - base::Millis(11'000);  // BackOff pauses for 10 s
  return std::ranges::any_of(context_.world.outages, [&](const World::Outage& outage) {
    return outage.end - outage.begin >= long_enough &&
           outage.end + base::Millis(11'000) >= running.delivered->time;
  });
}

// A mailbox whose connection is needed elsewhere is not attached for NOOP's sake at any price, nor waited for
// longer than a second. With exclusive access it is attached for one client at a time, and it is not known
// for which.
bool SessionAudit::was_answered_without_backend(const Running& running) {
  if (!context_.rules.shared()) return true;
  const bool attached =
      running.attached && context_.is_attached(*open_->history) && losses_during(running) == 0;
  return !attached || now().time - running.delivered->time >= base::Millis(1'000);
}

// NO and BAD, where they are in place.
Problem SessionAudit::check_refusal(const Running& running, const Reply& reply) const {
  const auto& command = *running.command;
  if (command.verb == Verb::kLogin || command.verb == Verb::kAuthenticate) {
    if (reply.bad()) return "BAD";
    return std::nullopt;  // the client knows whether its password was right
  }
  if (reply.bad()) {
    // UID SEARCH may have numbers, too.
    return running.beyond(running.exists) ? std::nullopt : Problem("BAD: " + reply.text);
  }
  // Who has finished sending is not waited for.
  const bool given_up = reply.code == "INUSE" || reply.code == "UNAVAILABLE";
  if (given_up && (leaving_ || context_.world.ending)) return std::nullopt;
  // What may be repeated is, once.
  if (reply.code == "UNAVAILABLE" && running.is_delivered()) {
    const bool repeats = command.info().repeatable && command.info().uses_numbers;
    if (losses_during(running) >= (repeats ? 2U : 1U)) return std::nullopt;
  }
  const bool waited_in_vain = given_up || reply.code == "LIMIT";
  if (waited_in_vain && running.is_delivered() && long_outage_during(running)) return std::nullopt;
  const bool opens = command.info().opens != wire::Opens::kNothing;
  if (opens && !target_of(command)) return std::nullopt;  // there is no such mailbox
  if (command.info().writes && open_ && open_->read_only) return std::nullopt;
  if (reply.code == "EXPUNGEISSUED") {
    // RFC 2180, 4.1 to 4.4: some of what it means is gone, or may be.
    const bool plausible =
        running.beyond(running.exists) || std::ranges::any_of(running.addressed, [&](const auto& message) {
          const auto* mail = mail_of(message);
          return !mail || !mail->alive();
        });
    const bool may = command.by_number() && command.verb != Verb::kSearch && !command.silent;
    return plausible && may ? std::nullopt : Problem("EXPUNGEISSUED, and nothing of it is gone");
  }
  return fmt::format("NO [{}] {}", reply.code, reply.text);
}

Problem SessionAudit::check_fetch(const Running& running) const {
  for (const auto& message : running.addressed) {
    const auto* mail = mail_of(message);
    if (mail && mail->alive() && !running.answered.contains(message.id) && surely_means(running, message))
      return fmt::format("nothing came for UID {}, or not all of it", mail->uid());
    if (auto problem = check_flags(running, message)) return problem;
  }
  return std::nullopt;
}

// Flags that are told for the asking are no older than the question.
Problem SessionAudit::check_flags(const Running& running, const Running::Addressed& message) const {
  const auto& items = running.command->items;
  const auto* mail = mail_of(message);
  const uint32_t number = open_->picture.number_of(message.id);
  const bool asked = std::ranges::find(items, "FLAGS") != items.end();
  if (!asked || !mail || !mail->alive() || number == 0) return std::nullopt;
  const auto& known = open_->picture.messages()[number - 1].flags;
  const bool old = known && mail->flags_changed() < *running.delivered && *known != mail->message.flags;
  if (!old || !running.answered.contains(message.id)) return std::nullopt;
  return fmt::format("UID {} had other flags than ({}) before it was asked for them", mail->uid(),
                     fmt::join(*known, " "));
}

Problem SessionAudit::check_store(const Running& running) {
  const auto& command = *running.command;
  for (const auto& message : running.addressed) {
    const auto* mail = mail_of(message);
    if (mail && mail->alive() && surely_means(running, message)) {
      if (!command.silent && !running.answered.contains(message.id))
        return fmt::format("nothing came for UID {}", mail->uid());
      // Acknowledged is done, though others may have undone it.
      const bool was_done = std::ranges::any_of(mail->flags, [&](const auto& version) {
        const auto* next = &version == &mail->flags.back() ? nullptr : &version + 1;
        return (!next || *running.delivered < next->since) && satisfies(command, version.flags);
      });
      if (!was_done) return fmt::format("UID {} never had the flags", mail->uid());
    }
  }
  if (command.silent) conclude_flags(running);
  return std::nullopt;
}

// What a client concludes that is told nothing.
void SessionAudit::conclude_flags(const Running& running) {
  const auto& command = *running.command;
  uint32_t number = 0;
  for (auto& message : open_->picture.messages()) {
    ++number;
    if (running.told.contains(message.id) || !may_mean(running, number, message.uid)) continue;
    const auto addressed = std::ranges::find(running.addressed, message.id, &Running::Addressed::id);
    const bool sure = addressed != running.addressed.end() && surely_means(running, *addressed);
    if (!sure) {
      message.flags.reset();  // it can't tell
    } else if (message.flags || command.mode == demo::StoreMode::kReplace) {
      message.flags = demo::apply(command.mode, message.flags.value_or(demo::Flags()), command.flags);
    }
  }
}

// Of messages that did not change lately; of the others only that they may be found or not.
Problem SessionAudit::check_search(const Running& running) const {
  const auto& command = *running.command;
  if (!running.found) return "OK without a result";
  wire::TokenReader reader(command.keys);
  const auto program = demo::parse_search(reader);
  if (!program) return "the simulation's own keys are malformed";
  const auto& picture = open_->picture;
  const bool by_uid = command.verb == Verb::kUidSearch;
  const uint64_t last_id = picture.messages().empty() ? 0 : picture.messages().back().id;
  const bool grew = (running.known.empty() ? 0 : running.known.back()) != last_id ||
                    open_->history->uid_next() != running.first_new_uid;
  const bool uncertain = grew || open_->history->changed() > open_->fresh || !picture.knows_last_uid() ||
                         open_->history->uid_next() != picture.last_uid() + 1;
  if (has_star(command.keys) && uncertain) return std::nullopt;
  if (running.beyond(running.exists)) return std::nullopt;

  for (uint32_t number = 1; number <= running.exists; ++number) {
    const uint32_t number_now =
        picture.number_of(running.known[number - 1]);  // 0: UID SEARCH came with its EXPUNGE
    const auto* mail =
        number_now == 0 ? nullptr : open_->history->find(picture.messages()[number_now - 1].uid);
    const bool steady =
        mail && mail->alive() && mail->born < open_->fresh && mail->flags_changed() < open_->fresh;
    if (!steady) continue;
    demo::SearchSubject subject;
    subject.message = &mail->message;
    subject.number = number;
    subject.last_number = running.exists;
    subject.last_uid = picture.last_uid();
    const bool expected = demo::matches(program->key, subject);
    const bool found =
        std::ranges::find(*running.found, by_uid ? mail->uid() : number) != running.found->end();
    if (expected != found)
      return fmt::format("message {} (UID {}) is {}, and should {}be", number, mail->uid(),
                         found ? "found" : "not found", expected ? "" : "not ");
  }
  return std::nullopt;
}

// RFC 4315: COPYUID says which became which.
Problem SessionAudit::check_copy(const Running& running, const Reply& reply) {
  if (reply.code != "COPYUID") return std::nullopt;
  const auto* target = target_of(*running.command);
  if (target && target->begun() > *running.delivered) return std::nullopt;  // it was another one then
  wire::TokenReader reader(reply.code_arguments);
  const auto validity = reader.number();
  if (!target || validity != target->uid_validity() || !reader.space()) return "COPYUID of another mailbox";
  const auto from = reader.atom();
  const auto to = reader.space() ? reader.atom() : std::nullopt;
  const auto sources = from ? wire::SequenceSet::parse(*from) : std::nullopt;
  const auto copies = to ? wire::SequenceSet::parse(*to) : std::nullopt;
  if (!sources || !copies) return "malformed COPYUID";
  const auto expand = [](const wire::SequenceSet& set) {
    std::vector<uint32_t> uids;
    for (const auto& range : set.ranges())
      for (uint32_t uid = range.first; uid <= range.last; ++uid) uids.push_back(uid);
    return uids;
  };
  const auto source_uids = expand(*sources);
  const auto copy_uids = expand(*copies);
  if (source_uids.size() != copy_uids.size()) return "COPYUID's sets are not of one size";
  for (size_t i = 0; i < source_uids.size(); ++i) {
    const auto* source = open_->history->find(source_uids[i]);
    const auto* copy = target->find(copy_uids[i]);
    if (!source || !copy || source->token != copy->token)
      return fmt::format("COPYUID says that UID {} became UID {}", source_uids[i], copy_uids[i]);
    if (!may_address(running, source_uids[i])) return fmt::format("UID {} was copied", source_uids[i]);
  }
  return std::nullopt;
}

Problem SessionAudit::check_append(const Running& running, const Reply& reply) {
  if (reply.code != "APPENDUID") return std::nullopt;
  const auto* target = target_of(*running.command);
  if (target && target->begun() > *running.delivered) return std::nullopt;
  wire::TokenReader reader(reply.code_arguments);
  const auto validity = reader.number();
  const auto uid = reader.space() ? reader.number() : std::nullopt;
  const auto* mail = target && uid ? target->find(*uid) : nullptr;
  if (!mail || validity != target->uid_validity() || mail->token != running.command->token)
    return "APPENDUID tells of another message";
  return std::nullopt;
}

Problem SessionAudit::check_status(const Running& running) const {
  if (!running.status) return "OK without an answer";
  const auto* mailbox = target_of(*running.command);
  if (mailbox->begun() > *running.delivered) return std::nullopt;
  wire::TokenReader reader(*running.status);
  if (!reader.astring() || !reader.space() || !reader.open()) return "a malformed STATUS response";
  // Exact where nothing happened meanwhile.
  const bool steady = mailbox->changed() < *running.delivered;
  uint32_t unseen = 0;
  for (const uint32_t uid : mailbox->alive())
    unseen += mailbox->find(uid)->message.flags.contains("\\Seen") ? 0 : 1;
  for (;;) {
    const std::string item(reader.atom().value_or(""));
    const auto value = reader.space() ? reader.number() : std::nullopt;
    if (!value) return "a malformed STATUS response";
    const auto wrong = [&](uint32_t right) { return steady && *value != right; };
    if (item == "MESSAGES" && wrong(static_cast<uint32_t>(mailbox->alive().size())))
      return "MESSAGES is wrong";
    if (item == "UNSEEN" && wrong(unseen)) return "UNSEEN is wrong";
    if (item == "UIDVALIDITY" && *value != mailbox->uid_validity()) return "UIDVALIDITY is wrong";
    // A message that came and went unseen may be missing in it, but none that is there.
    if (item == "UIDNEXT" && *value > mailbox->uid_next()) return "UIDNEXT is too large";
    if (item == "UIDNEXT" && steady && !mailbox->alive().empty() && *value <= mailbox->alive().back())
      return "UIDNEXT is too small";
    if (reader.close()) break;
    if (!reader.space()) return "a malformed STATUS response";
  }
  return std::nullopt;
}

Problem SessionAudit::check_opened(const Running& running, const Reply& reply) {
  const auto& command = *running.command;
  if (!opening_ || !opening_->history || !opening_->exists_told) return "nothing was said of the mailbox";
  auto& box = *opening_;
  if (box.uid_validity != box.history->uid_validity()) return "UIDVALIDITY is wrong, or missing";
  if (box.uid_next > box.history->uid_next()) return "UIDNEXT is too large";
  if (auto problem = box.picture.told_recent(box.recent)) return problem;
  if (reply.code == "READ-ONLY") box.read_only = true;
  if (command.verb == Verb::kExamine && reply.code != "READ-ONLY") return "EXAMINE is not [READ-ONLY]";
  if (command.verb == Verb::kSelect && reply.code != "READ-WRITE") return "SELECT is not [READ-WRITE]";
  box.fresh = box.opened;
  return behind(box, box.opened);
}

// What was acknowledged has to be there, and what was refused must not be.
Problem SessionAudit::settle_promises(const Running& running, const Reply& reply) {
  const auto& command = *running.command;
  const auto* target = target_of(command);
  if (!target || !running.is_delivered()) return std::nullopt;
  auto& promises = context_.promises;
  const bool unknown = reply.no() && reply.code == "UNAVAILABLE";
  if (unknown) return std::nullopt;
  if (command.verb == Verb::kAppend)
    return reply.ok() ? promises.kept(target->id(), command.token)
                      : promises.refused(target->id(), command.token);
  if (!command.is({Verb::kCopy, Verb::kUidCopy, Verb::kMove, Verb::kUidMove}) ||
      running.beyond(running.exists))
    return std::nullopt;
  for (const auto& message : running.addressed) {
    const auto* mail = mail_of(message);
    if (!mail) continue;
    // One that went meanwhile may have been copied or not.
    Problem problem;
    if (!reply.ok()) {
      problem = promises.refused(target->id(), mail->token);
    } else if (mail->alive()) {
      problem = promises.kept(target->id(), mail->token);
    }
    if (problem) return problem;
  }
  return std::nullopt;
}

// --- what was done, and why

bool SessionAudit::may_address(const Running& running, uint32_t uid) const {
  if (running.command->by_uid()) return may_mean(running, 0, uid);
  const bool addressed = std::ranges::any_of(running.addressed, [&](const auto& message) {
    const uint32_t its = uid_of(message);
    return its == 0 || its == uid;
  });
  if (addressed) return true;
  // One that came since.
  const auto& messages = open_->picture.messages();
  const auto found = std::ranges::find(messages, uid, &Picture::Message::uid);
  const auto number = static_cast<uint32_t>(found - messages.begin()) + 1;
  return number > running.exists && (found == messages.end() || may_mean(running, number, uid));
}

bool SessionAudit::explains(const MailboxHistory& mailbox, const MailboxHistory::Change& change) const {
  using Kind = MailboxHistory::Change::Kind;
  if (mailbox.user() != user_) return false;
  for (const auto& running : running_) {
    const auto& command = *running.command;
    if (!running.is_delivered() || command.malformed) continue;
    if (change.kind == Kind::kBorn) {
      if (target_of(command) != &mailbox) continue;
      if (command.verb == Verb::kAppend && command.token == change.mail.token) return true;
      if (!open_ || !command.is({Verb::kCopy, Verb::kUidCopy, Verb::kMove, Verb::kUidMove})) continue;
      for (const uint32_t uid : open_->history->with_token(change.mail.token))
        if (may_address(running, uid)) return true;
      continue;
    }
    if (!open_ || open_->history != &mailbox || open_->read_only) continue;
    const uint32_t uid = change.mail.uid();
    const auto& flags = change.mail.message.flags;
    if (change.kind == Kind::kGone) {
      if (command.is({Verb::kMove, Verb::kUidMove}) && may_address(running, uid)) return true;
      const bool expunges = command.is({Verb::kExpunge, Verb::kClose}) ||
                            (command.verb == Verb::kUidExpunge && may_address(running, uid));
      if (expunges && flags.contains("\\Deleted")) return true;
      continue;
    }
    if (command.is({Verb::kFetch, Verb::kUidFetch}) && command.sets_seen && may_address(running, uid) &&
        demo::apply(demo::StoreMode::kAdd, change.before, {"\\Seen"}) == flags)
      return true;
    if (command.is({Verb::kStore, Verb::kUidStore}) && may_address(running, uid) &&
        demo::apply(command.mode, change.before, command.flags) == flags)
      return true;
  }
  return false;
}

}  // namespace imapmux::simulation
