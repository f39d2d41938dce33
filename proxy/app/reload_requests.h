// Reloads that are asked for on other threads (the admin endpoint's), and done on the main thread, which
// waits for signals: asking sends it the one it reloads on. One for the process; shared with those who may
// ask.
#pragma once

#include <future>
#include <mutex>
#include <optional>
#include <vector>

#include "admin/sources.h"

namespace imapmux::app {

class ReloadRequests {
 public:
  // Waits for what comes of it. Nothing: the process is ending. Any thread but the main one.
  std::optional<admin::ReloadOutcome> ask();

  // The main thread: takes what was asked for so far, before it reloads; then tells them.
  using Asked = std::vector<std::promise<std::optional<admin::ReloadOutcome>>>;
  Asked take();
  static void tell(Asked asked, const admin::ReloadOutcome& outcome);
  // No more reloads.
  void close();

 private:
  std::mutex mutex_;
  bool closed_ = false;
  Asked asked_;
};

}  // namespace imapmux::app
