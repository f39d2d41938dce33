// SIGUSR2: the running process starts the one that takes over from it, so that this one belongs to the same
// service (systemd takes a MAINPID from inside of the unit only). Main thread.
#pragma once

#include <string>

namespace imapmux::app {

// The program as it lies on the disk now, which may be a newer one than runs.
class Successor {
 public:
  explicit Successor(const std::string& config_path);
  // `serve --takeover --config …`. What comes of it is its own business, and the TakeoverDonor's.
  void start() const;

 private:
  std::string program_;
  std::string config_;
};

}  // namespace imapmux::app
