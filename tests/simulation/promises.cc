#include "simulation/promises.h"

#include <fmt/core.h>

namespace imapmux::simulation {

using Problem = Promises::Problem;

Problem Promises::judge(const Count& count, const std::string& token) {
  if (count.added < count.promised)
    return fmt::format("{} was acknowledged {} times and is there {} times", token, count.promised,
                       count.added);
  if (count.added > count.promised + count.open)
    return fmt::format("{} came {} times, was acknowledged {} times, and {} commands are open", token,
                       count.added, count.promised, count.open);
  return std::nullopt;
}

Problem Promises::kept(demo::MailboxId mailbox, const std::string& token) {
  auto& count = at(mailbox, token);
  --count.open;
  ++count.promised;
  return judge(count, token);
}

Problem Promises::refused(demo::MailboxId mailbox, const std::string& token) {
  auto& count = at(mailbox, token);
  --count.open;
  return judge(count, token);
}

Problem Promises::added(demo::MailboxId mailbox, const std::string& token) {
  auto& count = at(mailbox, token);
  ++count.added;
  return judge(count, token);
}

}  // namespace imapmux::simulation
