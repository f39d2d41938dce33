// SharedMailbox: attached again, without reading from its beginning what has not changed.
//
// UIDs ascend and are never given twice (RFC 3501, 2.3.1.1; `uidnext: sticky`). So if UIDNEXT is what it was
// when the table was read, nothing came in, and with as many messages as before none has gone: *equal*. If
// UIDNEXT rose, what came in has UIDs from the old one on; if these are as many as EXISTS rose by, none of
// the others has gone: *growth*. Everything else is read anew (select_in_turn()).
#include <algorithm>

#include "mailbox/shared_account.h"
#include "mailbox/shared_mailbox.h"

namespace imapmux::mailbox {
namespace {

using async::Task;

constexpr uint32_t kFlagsAtOnce = 2'000;

}  // namespace

// Behind SELECT, whose untagged answers were heard.
bool SharedMailbox::may_catch_up() const {
  if (config().uid_next != config::UidNext::kSticky || uids_not_sticky_) return false;
  // Where flags are to be read anyway, the UIDs come with them.
  if (flags_are_due() && fresh_.exists() <= kFewMessages) return false;
  if (read_up_to_ == 0 || heard_validity_ != uid_validity_ || heard_expunge_ || !table_.complete())
    return false;
  if (heard_next_ == read_up_to_) return fresh_.exists() == table_.exists();
  return heard_next_ > read_up_to_ && fresh_.exists() >= table_.exists();
}

// False: the difference is of another kind.
Task<bool> SharedMailbox::catch_up(std::shared_ptr<SharedConnection> connection) {
  if (heard_next_ > read_up_to_) {
    auto reply = co_await ask(connection, "UID FETCH " + std::to_string(read_up_to_) + ":* (UID FLAGS)");
    if (!reply.ok() || contradicted_ || heard_expunge_ || !is_growth(table_.exists())) co_return false;
  }
  adopt_growth();
  co_return true;
}

// Servers answer "n:*" with the last message, also where its UID is below n.
bool SharedMailbox::is_growth(uint32_t before) const {
  for (uint32_t number = 1; number <= before; ++number)
    if (fresh_.uid(number) != 0 && fresh_.uid(number) != table_.uid(number)) return false;
  for (uint32_t number = before + 1; number <= fresh_.exists(); ++number)
    if (fresh_.uid(number) < read_up_to_) return false;
  return true;
}

void SharedMailbox::adopt_growth() {
  const uint32_t before = table_.exists();
  table_.grow_to(fresh_.exists());
  for (uint32_t number = before + 1; number <= table_.exists(); ++number) {
    table_.learn_uid(number, fresh_.uid(number));
    if (fresh_.knows_flags(number)) table_.learn_flags(number, fresh_.flags_text(number));
  }
  read_up_to_ = heard_next_;
  uid_next_ = std::max({uid_next_, heard_next_, table_.last_uid() + 1});
}

void SharedMailbox::flags_are_old(Flags flags) {
  flags_read_again_ = 0;
  if (flags == Flags::kAtOnce) {
    flags_due_ = now();
  } else if (!flags_due_) {
    flags_due_ = now() + config().poll_interval;
  }
}

// Bit by bit, if they are many.
Task<> SharedMailbox::read_flags_again(std::shared_ptr<SharedConnection> connection) {
  const uint32_t first = table_.first_from(flags_read_again_ + 1);
  if (first <= table_.known()) {
    const uint32_t from = table_.uid(first);
    const uint32_t to = table_.uid(std::min(table_.known(), first + kFlagsAtOnce - 1));
    co_await connection->run(*this,
                             "UID FETCH " + std::to_string(from) + ":" + std::to_string(to) + " (UID FLAGS)");
    flags_read_again_ = to;
  }
  if (flags_read_again_ < table_.last_uid()) co_return;
  flags_due_.reset();
  flags_read_again_ = 0;
}

}  // namespace imapmux::mailbox
