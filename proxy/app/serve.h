// `imapmux serve`: the process until a signal ends it; and `imapmux check`.
#pragma once

#include <string>

namespace imapmux::app {

// Before any thread is made: signals are taken by the main thread alone.
void block_signals();
// Waits for SIGTERM or SIGINT; a SIGHUP means nothing.
void wait_for_end();

// Runs in the foreground until SIGTERM or SIGINT, reloading at SIGHUP. Returns the exit status.
int serve(const std::string& config_path);

// Prints problems, or a summary with warnings; with `route_user`, also where that user goes. Returns the exit
// status.
int check(const std::string& config_path, const std::string& route_user);

}  // namespace imapmux::app
