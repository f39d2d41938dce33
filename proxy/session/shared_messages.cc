// SharedSession: commands on messages, from the client's numbers to the backend's UIDs.
#include <algorithm>

#include "session/shared_session.h"
#include "wire/search_keys.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using wire::SequenceSet;
using wire::Verb;

// A far server is asked for so many messages per round trip: mbsync asks for all at once.
constexpr size_t kMostInFlight = 1024;
constexpr size_t kMostSpare = 64;
constexpr std::string_view kOutOfRange = "BAD There is no message of that number";

bool is_fetch(Verb verb) {
  return verb == Verb::kFetch || verb == Verb::kUidFetch;
}

bool by_uid(Verb verb) {
  return wire::info(verb).name.starts_with("UID ");
}

}  // namespace

SharedSession::Relayed& SharedSession::new_relayed(const Entry& entry) {
  if (spare_.empty()) {
    in_flight_.emplace_back(*this);
  } else {
    in_flight_.splice(in_flight_.end(), spare_, spare_.begin());
  }
  auto& relayed = in_flight_.back();
  relayed.self = std::prev(in_flight_.end());
  relayed.tag = entry.command.tag;
  relayed.verb = entry.command.verb;
  relayed.told = told_at(entry);
  relayed.by_number = entry.by_number;
  relayed.sent = false;
  relayed.numbers = {};
  relayed.uids = {};
  relayed.wants_uid = relayed.renames_body = relayed.renames_body_text = relayed.renamed_from_0 = false;
  relayed.wants_flags = relayed.only_flags = false;
  relayed.silent = relayed.echo_comes = false;
  relayed.extended = relayed.lost = relayed.again = relayed.completes_literal = false;
  relayed.answers.clear();
  relayed.delivered.clear();
  relayed.withheld.clear();
  relayed.options.clear();
  relayed.found.clear();
  relayed.told_uids.clear();
  return relayed;
}

// An echo of STORE is for the others.
void SharedSession::ask_silently_if_alone(Prepared& prepared, Relayed& relayed) const {
  if (prepared.silent_at == 0 || !mailbox_->alone(*this)) return;
  relayed.echo_comes = false;
  prepared.text.insert(prepared.silent_at, ".SILENT");
}

void SharedSession::drop(Relayed& relayed) {
  spare_.splice(spare_.begin(), in_flight_, relayed.self);
}

// Behind many commands at once. Nobody looks at these any more: what was dropped last, at which somebody may,
// is the first of those that stay.
void SharedSession::free_spare() {
  if (in_flight_.empty() && again_.empty() && spare_.size() > kMostSpare)
    spare_.erase(std::next(spare_.begin(), kMostSpare), spare_.end());
}

// A view may have been told of a message before its UID was known, if the backend showed it in an answer.
bool SharedSession::numbers_are_known() const {
  return view.count() <= mailbox_->table().known() + view.ghosts();
}

Task<SharedSession::Refusal> SharedSession::numbers_known() {
  while (!numbers_are_known()) {
    auto refusal = co_await ready(mailbox_);
    if (refusal) co_return refusal;
    co_await mailbox_->complete();
  }
  co_return std::nullopt;
}

// The usual case: it is the client's turn, and what the command means is known. Else forward() waits for
// that.
bool SharedSession::forwarded_at_once(const Entry& entry) {
  const auto& command = entry.command;
  if (!again_.empty() || !numbers_are_known() || asks_for_news(command)) return false;
  if (!mailbox_->connection().try_turn(*this)) return false;
  const auto connection = mailbox_->shared_connection();
  const mailbox::TurnEnd end(connection, *this);
  if (connection->unsent() > net::Stream::kHighWatermark) return false;
  if (wire::info(command.verb).writes && mailbox_->read_only()) return false;
  auto& relayed = new_relayed(entry);
  auto prepared = prepare(command, relayed);
  // What is wrong with it is said there, and literals are looked after.
  if (prepared.answer || !may_join(relayed) || !wire::is_plain(prepared.text)) {
    drop(relayed);
    return false;
  }
  ask_silently_if_alone(prepared, relayed);
  current_ = connection;
  mailbox_->worked();
  relayed.begun_at = client_.command_goes_on();
  relayed.sent = true;
  connection->send_line(*this, connection->next_tag(), prepared.text, relayed);
  return true;
}

Task<> SharedSession::forward(const Entry& entry) {
  const auto& command = entry.command;
  while (!again_.empty()) co_await progress_.wait();  // what was lost goes first
  auto unknown = co_await numbers_known();
  if (unknown) {
    answer(command, *unknown);
    co_return;
  }
  // From here on it is open, so that no number shifts under it.
  auto& relayed = new_relayed(entry);
  by_number_ = false;
  if (asks_for_news(command)) co_await mailbox_->poll(mailbox::SharedMailbox::Poll::kNoop);
  auto prepared = prepare(command, relayed);
  if (prepared.answer) {
    drop(relayed);
    answer(command, *prepared.answer);
    co_return;
  }
  bool waited = false;
  while (!may_join(relayed)) {
    waited = true;
    co_await progress_.wait();
  }

  Connection connection;
  const bool at_once = again_.empty() && mailbox_->attached() && mailbox_->connection().try_turn(*this);
  if (!at_once && may_ask_together(relayed)) {
    waited = true;
    auto answered = co_await answered_together(relayed);
    if (answered) co_return;
  }
  if (at_once) {
    connection = current_ = mailbox_->shared_connection();
    mailbox_->worked();
  } else {
    waited = true;
    auto turn = co_await turn_behind_lost();
    if (!turn.connection) {
      drop(relayed);
      answer(command, *turn.refusal);
      co_return;
    }
    connection = std::move(turn.connection);
  }
  const mailbox::TurnEnd end(connection, *this);
  if (wire::info(command.verb).writes && mailbox_->read_only()) {  // see turn_to_write()
    drop(relayed);
    answer(command, kReadOnly);
    co_return;
  }
  while (connection->unsent() > net::Stream::kHighWatermark && !connection->lost()) {
    waited = true;
    co_await progress_.wait();
  }
  // What has gone meanwhile is not asked for.
  if (waited) {
    prepared = prepare(command, relayed);
    while (!may_join(relayed)) co_await progress_.wait();  // somebody may have come who wants an echo
  }
  if (prepared.answer) {
    drop(relayed);
    answer(command, *prepared.answer);
    co_return;
  }
  if (prepared.silent_at != 0 && !relayed.echo_comes && !mailbox_->alone(*this)) {
    relayed.echo_comes = true;  // somebody came while it waited for its turn
    while (!may_join(relayed)) co_await progress_.wait();
  }
  ask_silently_if_alone(prepared, relayed);
  const auto tag = connection->next_tag();
  auto pieces = wire::write_command(tag, prepared.text, connection->literal_form()).pieces;
  if (pieces.empty()) {
    drop(relayed);
    answer(command, "BAD The arguments are malformed");
    co_return;
  }
  const bool alone = pieces.size() > 1;  // the server wants to be asked before each literal
  while (alone && in_flight_.size() > 1) co_await progress_.wait();
  relayed.begun_at = client_.command_goes_on();
  relayed.sent = true;
  connection->send(*this, tag, std::move(pieces), relayed);
  if (alone) co_await all_answered();
}

// What was lost before, or while it waits, goes first: the answers to SEARCH must come in the order of the
// commands, and of two STOREs the second one is the last.
Task<SharedSession::Turn> SharedSession::turn_behind_lost() {
  for (;;) {
    while (!again_.empty()) co_await progress_.wait();
    auto turn = co_await turn_in(mailbox_);
    if (!turn.connection || again_.empty()) co_return turn;
    turn.connection->end(*this);
  }
}

// Whether the last message that the client knows of is still there.
bool SharedSession::last_is_there() const {
  return view.count() > 0 && view.to_table(view.count()) != 0;
}

// UIDs above all that are known: there may be new messages, of which the client heard elsewhere (COPYUID),
// and the backend tells of them when it is asked something. The same if "*" can be no message that is known.
bool SharedSession::asks_for_news(const wire::Command& command) const {
  if (!by_uid(command.verb)) return false;
  if (!last_is_there() && command.arguments().find('*') != std::string_view::npos) return true;
  if (wire::info(command.verb).family == wire::Family::kSearch) return false;
  auto reader = command.reader();
  return SequenceSet::largest_in(reader.atom().value_or("")) > mailbox_->table().last_uid();
}

// What of a client's set of UIDs is there. "*" is the last message of its view, so that nothing is changed
// that it did not mean: a number, but where something is only read and new messages are welcome.
SequenceSet SharedSession::uids_meant(const SequenceSet& uids, Verb verb) const {
  const auto& table = mailbox_->table();
  const bool reads = is_fetch(verb) || wire::info(verb).family == wire::Family::kSearch;
  if (last_is_there() && reads) return table.present(uids);
  if (last_is_there()) return table.present(uids.resolved(last_uid_told()));
  if (reads) return table.present(uids.resolved(UINT32_MAX));
  // The last message is gone: what it is the end of ends with the last one that this client knows of and is
  // there.
  const uint32_t last = last_uid_told();
  SequenceSet meant;
  for (const auto [from, to] : uids.ranges()) {
    const bool open = from == SequenceSet::kStar || to == SequenceSet::kStar;
    const uint32_t low = from == SequenceSet::kStar ? to : from;
    if (!open) {
      meant.add_range(from, to);
    } else if (low != SequenceSet::kStar && low <= last) {
      meant.add_range(low, last);
    }
  }
  return table.present(meant);
}

// The UID of the last message that this client was told of and that is there; 0: none.
uint32_t SharedSession::last_uid_told() const {
  for (uint32_t number = view.count(); number > 0; --number)
    if (const uint32_t mine = view.to_table(number)) return mailbox_->table().uid(mine);
  return 0;
}

// What may be in flight beside the others: their answers must be told apart.
bool SharedSession::may_join(const Relayed& relayed) const {
  const bool searches = wire::info(relayed.verb).family == wire::Family::kSearch;
  const auto renames = [](const Relayed& one) { return one.renames_body || one.renames_body_text; };
  size_t count = 0;
  for (const auto& other : in_flight_) {
    if (!other.sent) continue;
    ++count;
    // SEARCH and its like carry no correlation, and servers reorder.
    if (searches && wire::info(other.verb).family == wire::Family::kSearch) return false;
    if (searches) continue;
    if (renames(relayed) || renames(other)) return false;
    // A FETCH could be taken for the echo that is withheld.
    if ((relayed.echo_comes && is_fetch(other.verb)) || (other.echo_comes && is_fetch(relayed.verb)))
      return false;
  }
  return count < kMostInFlight;
}

SharedSession::Prepared SharedSession::prepare(const wire::Command& command, Relayed& relayed) {
  switch (command.verb) {
    case Verb::kFetch:
    case Verb::kUidFetch:
      return prepare_fetch(command, relayed);
    case Verb::kStore:
    case Verb::kUidStore:
      return prepare_store(command, relayed);
    default:
      return prepare_search(command, relayed);
  }
}

// The set at the front, as UIDs.
SharedSession::Prepared SharedSession::prepare_set(wire::TokenReader& reader, const wire::Command& command,
                                                   Relayed& relayed) const {
  const auto atom = reader.atom().value_or("");
  auto set = SequenceSet::parse(atom);
  if (!set || !reader.space()) return {{}, "BAD A sequence set is missing"};
  if (by_uid(command.verb)) {
    relayed.uids = uids_meant(*set, command.verb);
    if (relayed.uids.empty()) return {{}, "OK " + std::string(wire::info(command.verb).name) + " completed"};
    return {relayed.uids.to_string(), {}};
  }
  auto messages = view.messages(*set, mailbox_->table(), relayed.told);
  if (messages.invalid) return {{}, std::string(kOutOfRange)};
  relayed.numbers = *std::move(set);
  relayed.uids = std::move(messages.uids);
  if (relayed.uids.empty()) return {{}, std::string(kAllGone)};
  return {relayed.uids.to_string(), {}};
}

SharedSession::Prepared SharedSession::prepare_fetch(const wire::Command& command, Relayed& relayed) {
  auto reader = command.reader();
  auto set = prepare_set(reader, command, relayed);
  if (set.answer) return set;
  const auto seen = read_only ? wire::Seen::kNever : wire::Seen::kAsAsked;
  wire::FetchItems unusual;
  const auto* items = client_.host().fetch_items.parse(reader.rest(), seen, unusual);
  if (!items) return {{}, "BAD Unknown FETCH item"};
  relayed.wants_uid = items->uid || by_uid(command.verb);
  relayed.renames_body = items->renames_body;
  relayed.renames_body_text = items->renames_body_text;
  relayed.renamed_from_0 = items->renamed_from_0;
  relayed.rest.assign(" ").append(items->items);
  relayed.wants_flags = items->flags;
  relayed.only_flags = items->only_flags;
  constexpr std::string_view kVerb = "UID FETCH ";
  std::string text;
  text.reserve(kVerb.size() + set.text.size() + relayed.rest.size());
  text.append(kVerb).append(set.text).append(relayed.rest);
  return {std::move(text), {}};
}

SharedSession::Prepared SharedSession::prepare_store(const wire::Command& command, Relayed& relayed) {
  auto reader = command.reader();
  auto set = prepare_set(reader, command, relayed);
  const auto store = wire::parse_store(reader.rest());
  if (set.answer && relayed.numbers.empty()) return set;
  if (!store) return {{}, "BAD STORE takes flags"};
  if (set.answer) {
    // RFC 2180, 4.2: who wants no echo need not be told that there is none.
    if (store->silent) set.answer = "OK STORE completed";
    return set;
  }
  auto flags = mailbox::FlagSet::parse(store->flags);
  if (!flags) return {{}, "BAD STORE takes flags"};
  relayed.operation = store->operation;
  relayed.flags = std::move(*flags);
  relayed.silent = store->silent;
  // RFC 3501, 7.2.6: it is known what it made of the flags only by the echo, and the others want to know.
  relayed.echo_comes = store->silent && !mailbox_->alone(*this);
  relayed.wants_uid = by_uid(command.verb);
  const std::string what = " " + std::string(wire::name_of(store->operation));
  const std::string text = "UID STORE " + set.text + what;
  relayed.rest = what + " " + store->flags;
  return {text + " " + store->flags, {}, store->silent ? text.size() : 0};
}

SharedSession::Prepared SharedSession::prepare_search(const wire::Command& command, Relayed& relayed) {
  const auto& info = wire::info(command.verb);
  const auto name = by_uid(command.verb) ? info.name.substr(4) : info.name;
  const auto form = name == "SORT"     ? wire::SearchForm::kSort
                    : name == "THREAD" ? wire::SearchForm::kThread
                                       : wire::SearchForm::kSearch;
  const auto arguments = command.arguments();
  const auto keys = wire::parse_search(arguments, form);
  if (!keys.problem.empty()) return {{}, "BAD " + keys.problem};
  std::vector<wire::SearchKeys::Replacement> replacements;
  for (const auto& piece : keys.uid_keys) {
    const auto key = arguments.substr(piece.offset, piece.length);
    const auto set = SequenceSet::parse(key.substr(key.rfind(' ') + 1));
    if (!set) return {{}, "BAD Invalid message set"};
    if (set->max(0) > mailbox_->table().last_uid()) {  // which may have come in
      // Where the last message that the client knows of is gone, the server's "*" is another one.
      if (!last_is_there()) replacements.push_back({piece, "UID " + set->resolved(UINT32_MAX).to_string()});
      continue;
    }
    const auto uids = uids_meant(*set, command.verb);
    replacements.push_back({piece, uids.empty() ? "NOT ALL" : "UID " + uids.to_string()});
  }
  for (const auto& piece : keys.number_sets) {
    const auto set = SequenceSet::parse(arguments.substr(piece.offset, piece.length));
    if (!set) return {{}, "BAD Invalid message set"};
    const auto messages = view.messages(*set, mailbox_->table(), relayed.told);
    if (messages.invalid) return {{}, std::string(kOutOfRange)};
    replacements.push_back({piece, messages.uids.empty() ? "NOT ALL" : "UID " + messages.uids.to_string()});
  }
  relayed.extended = keys.has_return;
  relayed.options = keys.return_options;
  const auto replaced = wire::SearchKeys::replaced(arguments, std::move(replacements));
  std::string text = "UID " + std::string(name) + " ";
  if (form != wire::SearchForm::kSearch) {
    relayed.rest = text + replaced;
    return {relayed.rest, {}};
  }
  // What RETURN asks for is made here, from what is found: it has to agree with what this client was told.
  if (!keys.charset.empty()) {
    text += "CHARSET ";
    wire::write_string(text, keys.charset);
    text += ' ';
  }
  relayed.rest = text + replaced.substr(keys.keys_at);
  return {relayed.rest, {}};
}

}  // namespace imapmux::session
