// `imapmux serve`: the process until a signal ends it; and `imapmux check`.
#pragma once

#include <cstdint>
#include <string>

namespace imapmux::app {

// Before any thread is made: signals are taken by the main thread alone.
void block_signals();
// Waits for SIGTERM or SIGINT; other signals mean nothing.
void wait_for_end();

enum class Start : uint8_t {
  kAlone,
  kTakeover,  // from the process that runs, if there is one
};
// Runs in the foreground until SIGTERM or SIGINT, or until another process has taken over; reloads at SIGHUP,
// and starts that other process itself at SIGUSR2. Returns the exit status.
int serve(const std::string& config_path, Start start);

// Prints problems, or a summary with warnings; with `route_user`, also where that user goes. Returns the exit
// status.
int check(const std::string& config_path, const std::string& route_user);

}  // namespace imapmux::app
