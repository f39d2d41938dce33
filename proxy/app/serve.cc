#include "app/serve.h"

#include <pthread.h>
#include <signal.h>

#include <iostream>

#include "app/reload_requests.h"
#include "app/server.h"
#include "app/tls_check.h"
#include "app/version.h"
#include "base/log.h"
#include "base/log_recording.h"
#include "routing/router.h"

namespace imapmux::app {
namespace {

namespace log = base::log;

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

int next_signal() {
  const auto set = handled_signals();
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
  return signal;
}

// Whether it is in force.
bool reload(Server& server, const std::string& path) {
  const auto loaded = load_and_check(path);
  for (const auto& problem : loaded.problems) log::error("reload: {}", problem.to_string());
  if (!loaded.config) {
    log::error("reload: {} is not used, nothing has changed", path);
    return false;
  }
  for (const auto& warning : loaded.warnings) log::warn("reload: {}", warning.to_string());
  try {
    server.reload(loaded.config);
    log::info("reload: {} is in force for new sessions", path);
    return true;
  } catch (const std::exception& error) {
    log::error("reload: {}: {}; nothing has changed", path, error.what());
    return false;
  }
}

// Once, for all who have asked, at the endpoint or by a signal.
void reload(Server& server, const std::string& path, ReloadRequests& requests) {
  auto asked = requests.take();
  const log::Recording said;
  const bool in_force = reload(server, path);
  ReloadRequests::tell(std::move(asked), {in_force, said.lines()});
}

}  // namespace

void block_signals() {
  const auto set = handled_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void wait_for_end() {
  while (next_signal() == SIGHUP) {
  }
}

int serve(const std::string& config_path) {
  block_signals();
  const auto loaded = load_and_check(config_path);
  for (const auto& problem : loaded.problems) std::cerr << problem.to_string() << "\n";
  if (!loaded.config) return 1;
  log::configure(loaded.config->log_level, loaded.config->log_format);
  for (const auto& warning : loaded.warnings) log::warn("{}", warning.to_string());
  raise_descriptor_limit();
  const auto requests = std::make_shared<ReloadRequests>();
  try {
    Server server(loaded.config, [requests] { return requests->ask(); });
    server.start();
    log::info("imapmux {} serves with {} workers", kVersion, loaded.config->workers);
    for (int signal = next_signal(); signal == SIGHUP; signal = next_signal())
      reload(server, config_path, *requests);
    log::info("shutting down");
    requests->close();
    server.stop();
  } catch (const std::exception& error) {
    log::error("{}", error.what());
    return 1;
  }
  log::info("ended");
  return 0;
}

int check(const std::string& config_path, const std::string& route_user) {
  const auto loaded = load_and_check(config_path);
  for (const auto& problem : loaded.problems) std::cout << problem.to_string() << "\n";
  if (!loaded.config) return 1;
  std::cout << config::summary(*loaded.config);
  for (const auto& warning : loaded.warnings) std::cout << "warning: " << warning.to_string() << "\n";
  if (!route_user.empty()) {
    routing::LoginFacts facts;
    facts.user = route_user;
    if (!loaded.config->listeners.empty()) facts.listener = loaded.config->listeners.front().name;
    std::cout << routing::explain(*loaded.config, facts);
  }
  return 0;
}

}  // namespace imapmux::app
