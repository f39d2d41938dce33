// SharedMailbox: asking the backend what is new on behalf of clients. One NOOP is for all who wait.
//
// The usual one needs no task: poll_at_once() sends it while keep() has nothing to do, and its tagged end
// answers whoever waits for it. All else (nothing known yet, CHECK, new messages without UIDs) is
// look_after()'s.
#include "mailbox/shared_account.h"
#include "mailbox/shared_mailbox.h"

namespace imapmux::mailbox {
namespace {

using async::Task;

}  // namespace

Task<> SharedMailbox::poll(Poll kind) {
  Polling polling(kind);
  polls_.push_back(polling);
  if (!poll_at_once()) wake_.notify_all();
  if (!attached_) {
    polling.has_limit = true;
    co_await polling.done.wait_for(kPatienceOfPolls);
    polling.has_limit = false;
    if (!polling.linked() || !attached_) co_return;
  }
  co_await polling.done.wait();
}

bool SharedMailbox::may_poll_at_once() {
  if (!attached() || !at_leisure_ || poll_end_.under_way() || !opens_.empty()) return false;
  // See look_after(): only SELECT tells of the first message.
  if (!table_.complete() || table_.exists() == 0 || writing_may_be_back()) return false;
  return !flags_are_due() && !must_let_go() && polls_.front().kind == Poll::kNoop;
}

// False: keep() has to see to it.
bool SharedMailbox::poll_at_once() {
  if (!may_poll_at_once() || !connection_->try_turn(*this)) return false;
  const TurnEnd end(connection_, *this);
  ++polls_begun_;
  polls_.for_each([&](Polling& polling) {
    if (polling.kind == Poll::kNoop) asked_.push_back(polling);
  });
  const auto tag = connection_->next_tag();
  poll_end_.expect(connection_);
  connection_->send_line(*this, tag, "NOOP", poll_end_);
  return true;
}

void SharedMailbox::poll_ended() {
  heard();
  if (!attached() || table_.complete()) {  // or it is to be read anew
    polls_answered_ = polls_begun_;
    tell_polls(asked_);
  }
  // look_after() learns what is new, keep() may have waited for this end, and CHECKs for their turn.
  if (!asked_.empty() || !at_leisure_ || (!polls_.empty() && !poll_at_once())) wake_.notify_all();
}

void SharedMailbox::heard() {
  last_visit_ = last_heard_ = now();
  visit_pause_ = base::Millis(0);
}

SharedMailbox::PollEnd::~PollEnd() {
  if (connection_) connection_->forget(*this);
}

void SharedMailbox::PollEnd::expect(std::shared_ptr<SharedConnection> connection) {
  connection_ = std::move(connection);
}

void SharedMailbox::PollEnd::on_tagged(const wire::Response&) noexcept {
  connection_.reset();
  of_.poll_ended();
}

// Who waits is told by on_connection_lost().
void SharedMailbox::PollEnd::on_lost(const std::string&) noexcept {
  connection_.reset();
  of_.wake_.notify_all();
}

}  // namespace imapmux::mailbox
