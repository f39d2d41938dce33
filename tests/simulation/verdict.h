// The first thing that went wrong. Checks are made in the middle of the proxy's work, where nothing may be
// thrown: they leave their finding here, and the run ends at the next turn.
#pragma once

#include <string>
#include <utility>

namespace imapmux::simulation {

class Verdict {
 public:
  // `who`: whose dialogue is to be shown.
  void fail(std::string who, std::string what) {
    if (failed_) return;
    failed_ = true;
    who_ = std::move(who);
    what_ = std::move(what);
  }
  bool failed() const { return failed_; }
  const std::string& who() const { return who_; }
  const std::string& what() const { return what_; }

 private:
  bool failed_ = false;
  std::string who_;
  std::string what_;
};

}  // namespace imapmux::simulation
