// SharedSession: flags, where others are at work on the connection. Who asks for nothing else asks together
// with all others who do, and is told from the table, in its own numbers.
//
// The answer is written while the connection is others' already. So it is written bit by bit: neither does a
// large mailbox hold up the loop, nor does what a slow client does not read fill the memory.
#include "session/meter.h"
#include "session/shared_session.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::TaggedReply;
using mailbox::MessageRuns;
using Outcome = mailbox::SharedMailbox::FlagsRead::Outcome;

constexpr size_t kMostUnsent = net::Stream::kLowWatermark;

}  // namespace

// Alone in the mailbox there is nobody to ask together with, and behind its own commands its turn goes on.
bool SharedSession::may_ask_together(const Relayed& relayed) const {
  if (!relayed.only_flags || relayed.uids.ranges().size() > mailbox::SharedMailbox::kMostRanges) return false;
  return !any_sent() && again_.empty() && mailbox_->attached() && !mailbox_->alone(*this);
}

// False: it is to ask for itself.
Task<bool> SharedSession::answered_together(Relayed& relayed) {
  for (;;) {
    auto read = co_await mailbox_->read_flags(relayed.uids);
    if (read.outcome == Outcome::kRefused) co_return false;
    if (read.outcome == Outcome::kTold) {
      co_await show_flags(relayed, std::move(read.told));
      co_return true;
    }
    if (read.outcome == Outcome::kLost && (std::exchange(relayed.again, true) || client_.giving_up())) {
      answer_relayed(relayed, lost(wire::info(relayed.verb).name));
      co_return true;
    }
    if (read.outcome == Outcome::kLost) Meter::mine().retries.add();
    auto refusal = co_await ready(mailbox_);
    if (refusal) {
      answer_relayed(relayed, as_reply(*refusal));
      co_return true;
    }
  }
}

void SharedSession::answer_relayed(Relayed& relayed, TaggedReply reply) {
  relayed.begun_at = client_.command_goes_on();
  conclude(relayed, std::move(reply));
}

Task<> SharedSession::show_flags(Relayed& relayed, std::shared_ptr<const MessageRuns> told) {
  current_.reset();  // nothing comes on it for this client
  const auto& table = mailbox_->table();
  const auto uids = relayed.uids.resolved(table.last_uid());
  bool any = false;
  for (const auto range : uids.ranges()) {
    uint32_t number = table.first_from(range.first);
    while (number <= table.known() && table.uid(number) <= range.last) {
      const uint32_t uid = table.uid(number);
      if (told->contains(uid)) {
        show_flags_of(relayed, number);
        any = true;
      }
      ++number;
      if (client_.writer().unsent() <= kMostUnsent) continue;
      co_await give_way();
      number = table.first_behind(uid);
    }
  }
  const bool all_gone = !any && view.any_ghost(relayed.numbers, relayed.told);
  const auto done = std::string(wire::info(relayed.verb).name) + " completed";
  answer_relayed(relayed, as_reply(all_gone ? std::string(kAllGone) : "OK " + done));
}

void SharedSession::show_flags_of(const Relayed& relayed, uint32_t number) {
  const auto& table = mailbox_->table();
  const uint32_t uid = table.uid(number);
  tell_known_flags();
  const uint32_t mine = shown_as(number);
  if (!relayed.wants_flags) {
    client_.writer().untagged_fetch(mine, "(UID " + std::to_string(uid) + ")");
    return;
  }
  client_.writer().untagged_flags(mine, relayed.wants_uid ? uid : 0, table.flags_text(number));
  if (table.changed_after(number, view.mark())) told_ahead_[uid] = table.change_of(number);
}

// To others on the loop, and until the client has taken what was written.
Task<> SharedSession::give_way() {
  co_await async::sleep_for(base::Millis(0));
  while (client_.writer().unsent() > kMostUnsent) co_await client_.nudges().wait();
}

}  // namespace imapmux::session
