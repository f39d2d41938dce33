// How often each message has to be in each mailbox, by what clients were promised: every APPEND and COPY that
// was acknowledged is there exactly once, none that was refused.
//
// Only what the proxy did counts; the simulation's own deliveries do not. One per run.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "demo/store.h"

namespace imapmux::simulation {

class Promises {
 public:
  using Problem = std::optional<std::string>;

  // A command that puts `token` into `mailbox` has reached the proxy.
  void asked(demo::MailboxId mailbox, const std::string& token) { ++at(mailbox, token).open; }
  // It was answered OK; NO. Without an answer, or where nobody can know, the wish stays open for good.
  Problem kept(demo::MailboxId mailbox, const std::string& token);
  Problem refused(demo::MailboxId mailbox, const std::string& token);
  // It was seen to come into the mailbox.
  Problem added(demo::MailboxId mailbox, const std::string& token);

 private:
  struct Count {
    uint64_t added = 0;
    uint64_t promised = 0;
    uint64_t open = 0;
  };
  Count& at(demo::MailboxId mailbox, const std::string& token) { return counts_[{mailbox, token}]; }
  static Problem judge(const Count& count, const std::string& token);

  std::map<std::pair<demo::MailboxId, std::string>, Count> counts_;
};

}  // namespace imapmux::simulation
