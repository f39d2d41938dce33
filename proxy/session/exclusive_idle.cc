// ExclusiveSession: IDLE (RFC 2177), offered whether or not the backend has it.
#include "base/bytes.h"
#include "session/exclusive_session.h"
#include "session/idle_line.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Millis;

}  // namespace

bool ExclusiveSession::idle_ends() const {
  return !client_.reader().empty() || client_.stopping();
}

Task<> ExclusiveSession::idle(Entry entry) {
  auto& reader = client_.reader();
  auto& scheduler = client_.host().scheduler();
  client_.writer().go_ahead("idling");
  reader.expect_line();
  next_word_ = scheduler.now() + client_.config().limits.idle_keepalive;
  bool backend_idles = selected_ && backend_can().has("IDLE");
  while (!idle_ends()) {
    const auto until = scheduler.now() + seat_.backend->poll_interval;
    if (backend_idles) {
      co_await idle_on_backend(until);
    } else {
      co_await wait_idly(until);
    }
    // UW, Courier and imap4d have IDLE and push nothing: changes come with NOOP only.
    if (selected_ && !idle_ends()) co_await connection().run("NOOP");
  }
  // The end, or a line too long: for next() to deal with.
  if (client_.stopping() || reader.front().kind != Entry::Kind::kLine) co_return;
  const Entry line = reader.take();
  const bool done = is_done(line.line);
  answer(entry.command.tag, done ? "OK IDLE completed" : "BAD IDLE ends with DONE");
  reader.expect_commands();
}

// Until then, or until the client ends it; now and then a word, so that phones behind NAT that vanished are
// missed.
Task<> ExclusiveSession::wait_idly(base::Instant until) {
  auto& scheduler = client_.host().scheduler();
  while (!idle_ends() && scheduler.now() < until) {
    if (scheduler.now() >= next_word_) {
      client_.writer().untagged("OK Still here");
      next_word_ = scheduler.now() + client_.config().limits.idle_keepalive;
    }
    const auto wake = std::min(until, next_word_);
    co_await client_.reader().arrivals().wait_for(std::chrono::duration_cast<Millis>(wake - scheduler.now()));
  }
}

Task<> ExclusiveSession::idle_on_backend(base::Instant until) {
  const auto tag = connection().next_tag();
  backend::PendingReply pending(connection());
  connection().command_begun();
  connection().send(tag, tag + " IDLE\r\n", pending);
  auto go = co_await connection().continuation(tag);
  connection().command_completed();
  if (go == backend::BackendConnection::Go::kAnswered) {
    co_await wait_idly(until);  // it refused: polled like the others
    co_return;
  }
  connection().expect_silence();
  co_await wait_idly(until);
  connection().send_more("DONE\r\n");
  connection().expect_answers();
  co_await pending.wait();
}

}  // namespace imapmux::session
