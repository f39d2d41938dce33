#include "mailbox/message_runs.h"

#include <algorithm>

namespace imapmux::mailbox {

std::vector<MessageRuns::Run>::const_iterator MessageRuns::first_behind(uint32_t uid) const {
  return std::upper_bound(runs_.begin(), runs_.end(), uid,
                          [](uint32_t value, const Run& run) { return value < run.first; });
}

bool MessageRuns::contains(uint32_t uid) const {
  const auto behind = first_behind(uid);
  return behind != runs_.begin() && uid <= std::prev(behind)->last;
}

void MessageRuns::add(const MessageTable& table, uint32_t number) {
  const uint32_t uid = table.uid(number);
  const auto at = runs_.begin() + (first_behind(uid) - runs_.cbegin());
  const auto before = at == runs_.begin() ? runs_.end() : std::prev(at);
  if (before != runs_.end() && uid <= before->last) return;
  const bool continues = before != runs_.end() && number > 1 && before->last == table.uid(number - 1);
  const bool leads_on = at != runs_.end() && number < table.known() && at->first == table.uid(number + 1);
  if (continues && leads_on) {
    before->last = at->last;
    runs_.erase(at);
  } else if (continues) {
    before->last = uid;
  } else if (leads_on) {
    at->first = uid;
  } else {
    runs_.insert(at, {uid, uid});
  }
}

}  // namespace imapmux::mailbox
