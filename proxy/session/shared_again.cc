// SharedSession: what was in flight when the backend connection was lost runs again, once, on the next one;
// by the same UIDs, whatever their numbers are by then.
#include <algorithm>

#include "session/shared_session.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::TaggedReply;
using wire::SequenceSet;
using wire::Verb;

bool is_store(Verb verb) {
  return verb == Verb::kStore || verb == Verb::kUidStore;
}

TaggedReply gone(Verb verb) {
  TaggedReply reply;
  reply.code = "UNAVAILABLE";
  reply.text =
      is_store(verb) ? "The mail server has gone, the outcome is unknown" : "The mail server has gone";
  return reply;
}

TaggedReply done(Verb verb) {
  TaggedReply reply;
  reply.status = wire::ResponseName::kOk;
  reply.text = std::string(wire::info(verb).name) + " completed";
  return reply;
}

}  // namespace

void SharedSession::Relayed::on_lost(const std::string&) noexcept {
  auto& owner = session;
  if (completes_literal) {  // a second time
    owner.literal_completed(*this);
    return;
  }
  if (again || owner.client_.giving_up()) {
    if (owner.client_.writer().inside_response()) owner.break_off(kCantGoOn);
    owner.conclude(*this, gone(verb));
    return;
  }
  Meter::mine().retries.add();
  again = lost = true;
  sent = false;
  answers.clear();
  found.clear();
  owner.begin_again();
}

void SharedSession::begin_again() {
  if (again_.empty()) again_.spawn(run_lost_again());
}

Task<> SharedSession::run_lost_again() {
  if (client_.writer().inside_response()) {
    auto completed = co_await go_on_with_literal();
    if (!completed) co_return;
  }
  for (;;) {
    const auto next = std::find_if(in_flight_.begin(), in_flight_.end(),
                                   [](const Relayed& relayed) { return relayed.lost; });
    if (next == in_flight_.end()) break;
    co_await run_again(*next);
  }
  progress_.notify_all();
}

Task<> SharedSession::run_again(Relayed& relayed) {
  auto turn = co_await turn_in(mailbox_);
  relayed.lost = false;
  if (!turn.connection) {
    conclude(relayed, as_reply(*turn.refusal));
    co_return;
  }
  const mailbox::TurnEnd end(turn.connection, *this);
  while (!may_join(relayed)) co_await progress_.wait();
  if (is_store(relayed.verb) && mailbox_->read_only()) {  // see turn_to_write()
    conclude(relayed, as_reply(kReadOnly));
    co_return;
  }
  const auto text = text_again(relayed);
  if (text.empty()) {
    conclude(relayed, done(relayed.verb));
    co_return;
  }
  const auto tag = turn.connection->next_tag();
  auto pieces = wire::write_command(tag, text, turn.connection->literal_form()).pieces;
  const bool alone = pieces.size() > 1;  // the server wants to be asked before each literal
  while (alone && any_sent()) co_await progress_.wait();
  relayed.sent = true;
  turn.connection->send(*this, tag, std::move(pieces), relayed);
  while (alone && any_sent()) co_await progress_.wait();
}

bool SharedSession::any_sent() const {
  return std::any_of(in_flight_.begin(), in_flight_.end(), [](const Relayed& one) { return one.sent; });
}

// Empty: there is nothing left to be asked for.
std::string SharedSession::text_again(Relayed& relayed) const {
  if (relayed.verb_fetches()) {
    const auto left = not_delivered(relayed);
    return left.empty() ? std::string() : "UID FETCH " + left.to_string() + relayed.rest;
  }
  if (is_store(relayed.verb)) {
    relayed.uids = mailbox_->table().present(relayed.uids);
    relayed.echo_comes = relayed.silent && !mailbox_->alone(*this);
    return relayed.uids.empty() ? std::string() : "UID STORE " + relayed.uids.to_string() + relayed.rest;
  }
  return relayed.rest;
}

// The messages whose response the client does not have yet.
SequenceSet SharedSession::not_delivered(const Relayed& relayed) const {
  const auto& table = mailbox_->table();
  SequenceSet left;
  uint32_t first = 0, last = 0;  // numbers of a run of them
  const auto end_run = [&] {
    if (first != 0) left.add_range(table.uid(first), table.uid(last));
    first = 0;
  };
  const auto uids = relayed.uids.resolved(table.last_uid());
  for (const auto range : uids.ranges()) {
    for (uint32_t number = table.first_from(range.first);
         number <= table.known() && table.uid(number) <= range.last; ++number) {
      if (relayed.delivered.contains(table.uid(number))) {
        end_run();
        continue;
      }
      if (first == 0) first = number;
      last = number;
    }
    end_run();
  }
  return left;
}

// Of the oldest command in flight, if it is a FETCH that asked for it: servers answer one after the other.
// Where they do not, it is fetched twice, which harms nobody.
void SharedSession::note_delivered(uint32_t number) {
  const auto& table = mailbox_->table();
  const uint32_t uid = table.uid(number);
  const auto oldest =
      std::find_if(in_flight_.begin(), in_flight_.end(), [](const Relayed& one) { return one.sent; });
  if (oldest == in_flight_.end() || !oldest->verb_fetches() || !oldest->uids.contains(uid, table.last_uid()))
    return;
  // Others' changes of flags are told in between, without UIDs.
  const bool as_asked = attributes_.has_more() || oldest->only_flags;
  if (!as_asked || (oldest->wants_uid && attributes_.uid() == 0)) return;
  oldest->delivered.add(table, number);
}

}  // namespace imapmux::session
