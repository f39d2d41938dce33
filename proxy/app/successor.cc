#include "app/successor.h"

#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "base/log.h"

namespace imapmux::app {

// Known now: an upgrade replaces the file, and the link then says "(deleted)".
Successor::Successor(const std::string& config_path)
    : program_(std::filesystem::read_symlink("/proc/self/exe")), config_(config_path) {}

void Successor::start() const {
  ::signal(SIGCHLD, SIG_IGN);  // nobody waits for it
  std::string serve = "serve";
  std::string takeover = "--takeover";
  std::string option = "--config";
  std::string program = program_;
  std::string config = config_;
  const std::array<char*, 6> arguments{program.data(), serve.data(),  takeover.data(),
                                       option.data(),  config.data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program_.c_str(), nullptr, nullptr, arguments.data(), environ);
  if (error != 0) {
    base::log::error("take-over: can't start {}: {}", program_, strerror(error));
    return;
  }
  base::log::info("take-over: started {} as process {}", program_, pid);
}

}  // namespace imapmux::app
