#include "app/reload_requests.h"

#include <signal.h>
#include <unistd.h>

namespace imapmux::app {

std::optional<admin::ReloadOutcome> ReloadRequests::ask() {
  std::future<std::optional<admin::ReloadOutcome>> answer;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return std::nullopt;
    answer = asked_.emplace_back().get_future();
  }
  kill(getpid(), SIGHUP);
  return answer.get();
}

ReloadRequests::Asked ReloadRequests::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(asked_, {});
}

void ReloadRequests::tell(Asked asked, const admin::ReloadOutcome& outcome) {
  for (auto& one : asked) one.set_value(outcome);
}

void ReloadRequests::close() {
  Asked left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    left = std::exchange(asked_, {});
  }
  for (auto& one : left) one.set_value(std::nullopt);
}

}  // namespace imapmux::app
