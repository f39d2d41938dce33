#include "app/probe_command.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iostream>
#include <thread>

#include "app/serve.h"
#include "config/choices.h"
#include "config/files.h"
#include "probe/probe.h"
#include "probe/report.h"

namespace imapmux::app {
namespace {

using config::BackendTls;

constexpr int kProblem = 1;
constexpr int kUsage = 2;
constexpr int kSignalled = 128;

// The first signal interrupts the probe, the second one ends the process. Signals are blocked in all threads
// but are waited for in this one, until it is destroyed.
class Interruption {
 public:
  explicit Interruption(probe::Probe& probe)
      : thread_([this, &probe](const std::stop_token& stop) { watch(probe, stop); }) {}
  int signal() const { return signal_; }

 private:
  void watch(probe::Probe& probe, const std::stop_token& stop) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    const timespec pause{0, 50'000'000};
    while (!stop.stop_requested()) {
      const int number = sigtimedwait(&set, nullptr, &pause);
      if (number <= 0) continue;
      if (signal_ != 0) std::_Exit(kSignalled + number);
      signal_ = number;
      std::cerr << "\nimapmux probe: interrupted; it deletes its mailbox (once more: ends at once)\n";
      probe.interrupt();
    }
  }

  std::atomic<int> signal_{0};
  std::jthread thread_;
};

// With a password file that can't be used: why, in `problem`.
base::Secret read_password(const std::string& file, std::string& problem) {
  std::string text;
  if (file == "-") {
    std::getline(std::cin, text);
  } else {
    auto contents = config::read_file(file);
    if (!contents.error.empty()) problem = file + ": " + contents.error;
    text = std::move(contents.text);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty() && problem.empty()) problem = "there is no password in " + file;
  return base::Secret(std::move(text));
}

// Never in the clear across a network unless that is asked for.
BackendTls choose_tls(const std::string& word, const base::Endpoint& server) {
  if (word == "none") return BackendTls::kNone;
  if (word == "implicit") return BackendTls::kImplicit;
  if (word == "starttls") return BackendTls::kStarttls;
  if (server.port == 993) return BackendTls::kImplicit;
  return server.is_loopback() ? BackendTls::kNone : BackendTls::kStarttls;
}

// `word` was checked to be one of the choices.
template <class T, size_t n>
T value_of(const std::string& word, const std::array<config::Choice<T>, n>& choices) {
  const auto found =
      std::find_if(choices.begin(), choices.end(), [&](const auto& c) { return c.name == word; });
  return found->value;
}

// What is wrong with the options; empty: nothing.
std::string complete(ProbeOptions& options, base::Secret& password) {
  auto& probe = options.rest;
  const uint16_t port = options.tls == "implicit" ? 993 : 143;
  const auto server = base::parse_endpoint(options.server, port);
  if (!server || (!server->is_unix() && (server->host.empty() || server->port == 0)))
    return "not HOST or HOST:PORT: " + options.server;
  probe.server = *server;
  probe.tls = choose_tls(options.tls, *server);
  probe.tls_verify = value_of(options.tls_verify, config::kTlsVerifyChoices);
  probe.min_protocol = value_of(options.min_protocol, config::kTlsVersionChoices);
  probe.timeout = std::chrono::seconds(options.timeout_seconds);
  std::string problem;
  password = read_password(options.password_file, problem);
  return problem;
}

void show_progress(std::string_view question) {
  std::cerr << "\r\x1b[K" << question << " ..." << std::flush;
}

}  // namespace

int run_probe(ProbeOptions options) {
  base::Secret password;
  if (const auto problem = complete(options, password); !problem.empty()) {
    std::cerr << "imapmux probe: " << problem << "\n";
    return kUsage;
  }
  block_signals();
  ::signal(SIGPIPE, SIG_IGN);  // whoever reads what it says may go, its mailbox has to be deleted
  const bool watched = isatty(STDERR_FILENO) != 0;
  probe::Probe probe(options.rest, std::move(password),
                     watched ? show_progress : probe::Questions::Progress());
  Interruption interruption(probe);
  const auto outcome = probe.run();
  if (watched) std::cerr << "\r\x1b[K";
  if (!outcome.left_behind.empty())
    std::cerr << "imapmux probe: a mailbox is left behind and has to be deleted by hand: "
              << outcome.left_behind << "\n";
  if (interruption.signal() != 0) return kSignalled + interruption.signal();
  if (!outcome.failure.empty()) {
    std::cerr << "imapmux probe: " << outcome.failure << "\n";
    return kProblem;
  }
  const auto detail = options.verbose ? probe::Detail::kDialogue : probe::Detail::kTable;
  std::cout << (options.json ? probe::to_json(options.rest, outcome.findings)
                             : probe::to_text(options.rest, outcome.findings, detail));
  return outcome.left_behind.empty() ? 0 : kProblem;
}

}  // namespace imapmux::app
