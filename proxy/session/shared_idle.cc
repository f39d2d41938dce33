// SharedSession: IDLE (RFC 2177), offered whether or not the backend has it: what changes comes from the
// mailbox.
#include "base/bytes.h"
#include "session/idle_line.h"
#include "session/shared_session.h"

namespace imapmux::session {

using async::Task;
using base::Millis;

bool SharedSession::idle_ends() const {
  return !client_.reader().empty() || client_.stopping();
}

Task<> SharedSession::idle(const Entry& entry) {
  auto& reader = client_.reader();
  auto& scheduler = client_.host().scheduler();
  client_.writer().go_ahead("idling");
  client_.command_answered();  // as far as anybody waits for it
  reader.expect_line();
  if (in_mailbox()) {
    mailbox_->begin_idle(*this);
    on_news();
  }
  // Now and then a word, so that phones behind NAT that vanished are missed.
  const auto keepalive = client_.config().limits.idle_keepalive;
  auto next_word = scheduler.now() + keepalive;
  while (!idle_ends()) {
    co_await reader.arrivals().wait_for(std::chrono::ceil<Millis>(next_word - scheduler.now()));
    if (idle_ends() || scheduler.now() < next_word) continue;
    client_.writer().untagged("OK Still here");
    next_word = scheduler.now() + keepalive;
  }
  if (in_mailbox()) mailbox_->end_idle(*this);
  // The end, or a line too long: for next() to deal with.
  if (client_.stopping() || reader.front().kind != Entry::Kind::kLine) co_return;
  const Entry line = reader.take();
  // What stands behind DONE is read first: it may hold EXPUNGE back.
  reader.expect_commands();
  answer(entry.command, is_done(line.text) ? "OK IDLE completed" : "BAD IDLE ends with DONE");
}

}  // namespace imapmux::session
