// SharedMailbox: flags that several clients ask for while others are at work. One FETCH is for all who ask
// before it is sent, and each is told from the table what it has brought.
#include "mailbox/shared_account.h"
#include "mailbox/shared_mailbox.h"
#include "mailbox/tell_all.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using wire::SequenceSet;

}  // namespace

// Puts what a FETCH tells into `runs`, until it has ended, however.
class SharedMailbox::Listening {
 public:
  Listening(SharedMailbox& mailbox, MessageRuns& runs) : mailbox_(mailbox) { mailbox_.flags_heard_ = &runs; }
  ~Listening() { mailbox_.flags_heard_ = nullptr; }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  SharedMailbox& mailbox_;
};

Task<SharedMailbox::FlagsRead> SharedMailbox::read_flags(const SequenceSet& uids) {
  if (closing_) co_return FlagsRead{FlagsRead::Outcome::kRefused, nullptr};
  FlagsAsked asked(uids);
  flags_asked_.push_back(asked);
  worked();
  wake_.notify_all();
  co_await asked.done.wait();
  co_return std::move(asked.read);
}

void SharedMailbox::tell_flags_asked() {
  flags_asked_.for_each([](FlagsAsked& asked) { asked.answered(); });
}

// Those whose messages fit into one FETCH, from the first one on, and the messages; the others stay.
SequenceSet SharedMailbox::take_flags_asked(base::IntrusiveList<FlagsAsked>& taken) {
  SequenceSet all;
  flags_asked_.for_each([&](FlagsAsked& asked) {
    const auto wanted = asked.uids.ranges();
    if (all.ranges().size() + wanted.size() > kMostRanges) all = all.resolved(table_.last_uid());
    if (all.ranges().size() + wanted.size() > kMostRanges) return;
    for (const auto range : wanted) all.add_range(range.first, range.last);
    taken.push_back(asked);
  });
  return table_.present(all.resolved(table_.last_uid()));
}

// In the mailbox's turn. Who comes from here on has his own question asked: what he wants to know may happen
// meanwhile.
Task<> SharedMailbox::read_flags_asked_for(std::shared_ptr<SharedConnection> connection) {
  base::IntrusiveList<FlagsAsked> asked;
  const TellAll told(asked, [](FlagsAsked& one) { one.answered(); });
  const auto uids = take_flags_asked(asked);
  const auto runs = std::make_shared<MessageRuns>();
  if (!uids.empty()) {
    asked.for_each([](FlagsAsked& one) { one.read.outcome = FlagsRead::Outcome::kLost; });  // until it ends
    const Listening listening(*this, *runs);
    auto reply = co_await connection->run(*this, "UID FETCH " + uids.to_string() + " (UID FLAGS)");
    if (!reply.ok() || !attached()) {
      asked.for_each([](FlagsAsked& one) { one.read.outcome = FlagsRead::Outcome::kRefused; });
      co_return;
    }
  }
  asked.for_each([&](FlagsAsked& one) { one.read = {FlagsRead::Outcome::kTold, runs}; });
}

}  // namespace imapmux::mailbox
