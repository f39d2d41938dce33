// SharedSession: a connection that was lost in the middle of a literal. The same message is fetched again on
// the next one, and the client's literal goes on where it ended (HalfLiteral).
#include <algorithm>

#include "session/shared_session.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::LiteralStart;

}  // namespace

// The FETCH whose response the client has a part of: servers answer one command after the other. Null: there
// is none that could be asked again.
SharedSession::Relayed* SharedSession::half_answered() {
  if (fetch_number_ == 0 || half_.uid() == 0) return nullptr;
  const auto last = mailbox_->table().last_uid();
  const auto found = std::find_if(in_flight_.begin(), in_flight_.end(), [&](const Relayed& one) {
    return (one.sent || one.lost) && one.verb_fetches() && one.uids.contains(half_.uid(), last);
  });
  return found == in_flight_.end() || (found->again && !found->lost) ? nullptr : &*found;
}

// False: it can't; the client is sent away.
Task<bool> SharedSession::go_on_with_literal() {
  auto* relayed = half_answered();
  if (!relayed) {
    break_off(kCantGoOn);
    co_return false;
  }
  relayed->lost = false;
  auto turn = co_await turn_in(mailbox_);
  if (!turn.connection || mailbox_->table().number_of(half_.uid()) == 0) {
    if (turn.connection) turn.connection->end(*this);
    drop(*relayed);
    break_off(kCantGoOn);
    co_return false;
  }
  const mailbox::TurnEnd end(turn.connection, *this);
  const auto tag = turn.connection->next_tag();
  half_.replay();
  relayed->completes_literal = relayed->sent = true;
  const auto text = "UID FETCH " + std::to_string(half_.uid()) + relayed->rest;
  turn.connection->send(*this, tag, wire::write_command(tag, text, turn.connection->literal_form()).pieces,
                        *relayed);
  while (relayed->completes_literal) co_await progress_.wait();
  co_return !client_.writer().inside_response();
}

// What was left of a command whose literal was completed goes on as a command of its own.
void SharedSession::literal_completed(Relayed& relayed) {
  relayed.completes_literal = relayed.sent = false;
  if (client_.writer().inside_response()) {
    drop(relayed);
    break_off(kCantGoOn);
  } else {
    relayed.lost = true;
  }
  progress_.notify_all();
}

// False: it is another response.
bool SharedSession::replay_fetch(const wire::Response& response, std::optional<LiteralStart> literal) {
  const auto& table = mailbox_->table();
  const uint32_t number = response.number;
  if (!literal || number == 0 || number > table.known() || table.uid(number) != half_.uid()) return false;
  fetch_number_ = number;
  fetch_is_passed_ = true;
  body_.clear();
  attributes_.begin(wishes());
  replay_text(response.arguments, literal);
  return true;
}

// The client has it already; but its flags may be others by now: they are told behind the response.
void SharedSession::replay_text(std::string_view text, std::optional<LiteralStart> literal) {
  body_.clear();
  const bool understood = attributes_.piece(text, body_) && literal;
  flags_withheld_ = attributes_.has_flags();
  if (!understood || half_.replay_literal(text, *literal) == HalfLiteral::Verdict::kDiffers)
    break_off(kCantGoOn);
}

void SharedSession::replay_octets(std::string_view octets) {
  std::string_view rest;
  if (half_.replay_octets(octets, rest) == HalfLiteral::Verdict::kDiffers) {
    break_off(kCantGoOn);
    return;
  }
  if (rest.empty()) return;
  half_.passed(rest);
  client_.writer().pass_literal(rest);
  hold_back_if_slow();
}

}  // namespace imapmux::session
