#include "app/serve.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <optional>

#include "app/notify.h"
#include "app/reload_requests.h"
#include "app/server.h"
#include "app/successor.h"
#include "app/takeover_donor.h"
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
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

int next_signal() {
  const auto set = handled_signals();
  int signal = 0;
  while (sigwait(&set, &signal) != 0) {
  }
  return signal;
}

// sd_notify(3): the time makes sure that it is about this reload.
void notify_reloading() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  notify("RELOADING=1\nMONOTONIC_USEC=" +
         std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

// Null: nobody runs, or it was not asked for.
std::unique_ptr<TakeoverHeir> heir_of_whoever_runs(const config::Config& config, Start start) {
  if (start == Start::kAlone) return nullptr;
  const auto& socket = config.takeover.socket;
  if (socket.empty()) throw std::runtime_error("--takeover needs takeover.socket in the configuration");
  auto heir = TakeoverHeir::connect(socket);
  if (!heir) log::info("take-over: nobody listens on {}; starting alone", socket);
  return heir;
}

base::Descriptor meeting_point(const config::Config& config, TakeoverHeir* heir) {
  base::Descriptor inherited;
  if (heir) inherited = heir->meeting_point();
  if (inherited || config.takeover.socket.empty()) return inherited;
  return listen_for_takeover(config.takeover.socket);
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
    const auto changes = server.reload(loaded.config);
    log::info("reload: {} is in force for new sessions{}", path,
              changes.made.empty() ? ", nothing has changed" : "");
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

void run(const config::ConfigPtr& config, const std::string& path, Start start) {
  const auto requests = std::make_shared<ReloadRequests>();
  const Successor successor(path);
  auto heir = heir_of_whoever_runs(*config, start);
  auto meet_at = meeting_point(*config, heir.get());
  Server server(config, [requests] { return requests->ask(); }, std::move(heir));
  server.start();
  std::optional<TakeoverDonor> donor;
  if (meet_at) donor.emplace(server, std::move(meet_at));
  log::info("imapmux {} serves with {} workers", kVersion, config->workers);
  notify("READY=1\nMAINPID=" + std::to_string(getpid()));
  for (int signal = next_signal(); signal == SIGHUP || signal == SIGUSR2; signal = next_signal()) {
    if (signal == SIGUSR2) {
      successor.start();
      continue;
    }
    notify_reloading();
    reload(server, path, *requests);
    notify("READY=1");
  }
  const bool goes_on_elsewhere = donor && donor->has_given();
  if (!goes_on_elsewhere) notify("STOPPING=1");
  log::info("shutting down");
  requests->close();
  server.stop();
}

}  // namespace

void block_signals() {
  const auto set = handled_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void wait_for_end() {
  for (int signal = next_signal(); signal == SIGHUP || signal == SIGUSR2; signal = next_signal()) {
  }
}

int serve(const std::string& config_path, Start start) {
  block_signals();
  const auto loaded = load_and_check(config_path);
  for (const auto& problem : loaded.problems) std::cerr << problem.to_string() << "\n";
  if (!loaded.config) return 1;
  log::configure(loaded.config->log_level, loaded.config->log_format);
  for (const auto& warning : loaded.warnings) log::warn("{}", warning.to_string());
  raise_descriptor_limit();
  try {
    run(loaded.config, config_path, start);
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
