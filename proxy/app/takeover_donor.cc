#include "app/takeover_donor.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "app/notify.h"
#include "app/server.h"
#include "app/version.h"
#include "base/log.h"

namespace imapmux::app {
namespace {

namespace log = base::log;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookAgain{10};
constexpr milliseconds kHelloLimit{5'000};
constexpr milliseconds kFarewell{1'000};
constexpr milliseconds kReadyLimit{60'000};  // certificates, users files

}  // namespace

TakeoverDonor::TakeoverDonor(Server& server, base::Descriptor socket)
    : server_(server), socket_(std::move(socket)), end_(eventfd(0, EFD_CLOEXEC)) {
  thread_ = std::thread([this] { run(); });
}

TakeoverDonor::~TakeoverDonor() {
  ended_ = true;
  eventfd_write(end_.get(), 1);
  thread_.join();
}

void TakeoverDonor::run() {
  while (!ended_) {
    ::listen(socket_.get(), 4);  // again, after a take-over: from now on it is this process that is met here
    std::array ready{pollfd{socket_.get(), POLLIN, 0}, pollfd{end_.get(), POLLIN, 0}};
    if (poll(ready.data(), ready.size(), -1) <= 0 || ended_) continue;
    base::Descriptor peer(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) continue;
    try {
      meet(std::move(peer));
    } catch (const std::exception& error) {
      log::warn("{}", error.what());
    }
  }
}

void TakeoverDonor::meet(base::Descriptor socket) {
  TakeoverChannel channel(std::move(socket));
  if (!greet(channel)) return;
  try {
    offer(channel);
    give(channel, wait_for_ready(channel));
    drain(channel);
  } catch (const std::exception& error) {
    log::warn("{}", error.what());
  }
  if (!ended_) go_on(channel);
}

// The other process has gone, or is not to be had: everything is this one's again.
void TakeoverDonor::go_on(TakeoverChannel& channel) {
  if (given_) channel.end_peer();
  if (!server_.take_back()) return;
  log::warn("take-over: process {} did not take over; this one goes on", channel.peer());
  if (given_.exchange(false)) notify("MAINPID=" + std::to_string(getpid()));
}

bool TakeoverDonor::greet(TakeoverChannel& channel) {
  const auto hello = channel.receive(kHelloLimit);
  if (!hello) return false;  // somebody who only looked whether a process is there
  std::string objection;
  if (hello->word != "HELLO" || hello->part(0) != TakeoverChannel::kMagic) {
    objection = "that is no take-over";
  } else if (hello->part(1) != TakeoverChannel::kVersion) {
    objection = "it speaks version " + std::string(TakeoverChannel::kVersion) + ", not " + hello->part(1);
  } else {
    objection = server_.begin_handing_on();
  }
  if (!objection.empty()) {
    log::warn("take-over: process {} was refused: {}", channel.peer(), objection);
    channel.send({.word = "NO", .parts = {objection}});
    return false;
  }
  log::info("take-over: process {}, imapmux {}, takes over", channel.peer(), hello->part(2));
  return true;
}

void TakeoverDonor::offer(TakeoverChannel& channel) {
  channel.send(
      {.word = "HELLO",
       .parts = {std::string(TakeoverChannel::kMagic), std::string(TakeoverChannel::kVersion), kVersion}});
  const auto offer = server_.offer();
  for (const auto& socket : offer.sockets)
    channel.send(
        {.word = "SOCKET", .parts = {socket.id, socket.endpoint.to_string()}, .lent = socket.descriptors});
  if (offer.admin >= 0)
    channel.send({.word = "ADMIN", .parts = {offer.admin_address.to_string()}, .lent = {offer.admin}});
  channel.send({.word = "TAKEOVER", .lent = {socket_.get()}});
  for (const auto& [name, description] : offer.backends)
    channel.send({.word = "BACKEND", .parts = {name, description}});
  channel.send({.word = "ALL"});
}

// This process may end meanwhile.
TakeoverMessage TakeoverDonor::wait_for_ready(TakeoverChannel& channel) {
  const auto until = steady_clock::now() + kReadyLimit;
  while (channel.is_open() && !ended_ && steady_clock::now() < until) {
    auto message = channel.receive(kLookAgain);
    if (message) return std::move(*message);
  }
  throw std::runtime_error("take-over: the new process did not get ready");
}

void TakeoverDonor::give(TakeoverChannel& channel, const TakeoverMessage& ready) {
  if (ready.word != "READY") throw std::runtime_error("take-over: the new process says " + ready.word);
  server_.stop_accepting({ready.parts.begin(), ready.parts.end()});
  forget_what_was_told();
  tell_connections(channel);
  notify("MAINPID=" + std::to_string(channel.peer()));
  given_ = true;
  channel.send({.word = "YOURS", .parts = {std::to_string(server_.time_to_drain().count())}});
}

// To another process, which has gone: what that was given is this one's again. By now the workers know that,
// and have nothing more to tell of it.
void TakeoverDonor::forget_what_was_told() {
  told_.clear();
  const std::lock_guard lock(mutex_);
  given_up_.clear();
}

void TakeoverDonor::drain(TakeoverChannel& channel) {
  for (const auto& backend : server_.limited_backends()) give_up({backend, {}});
  server_.give_up_evenly();
  const auto end = steady_clock::now() + server_.drain_time();
  bool ending = false;
  while (channel.is_open() && !ended_) {
    if (!ending && (steady_clock::now() >= end || server_.clients() == 0)) {
      ending = true;
      log::info("take-over: {} clients are left", server_.clients());
      kill(getpid(), SIGTERM);  // the main thread ends the server
    }
    if (const auto message = channel.receive(kLookAgain); message && message->word == "WANT")
      give_up({message->part(0), message->part(1)});
    tell_connections(channel);
    tell_given(channel);
  }
  if (!ended_) return;
  channel.send({.word = "DONE"});
  const auto until = steady_clock::now() + kFarewell;
  while (channel.is_open() && steady_clock::now() < until) channel.receive(kLookAgain);
}

void TakeoverDonor::give_up(const mailbox::AccountSet& accounts) {
  server_.give_up(accounts, [this, accounts] {
    const std::lock_guard lock(mutex_);
    given_up_.push_back(accounts);
  });
}

void TakeoverDonor::tell_given(TakeoverChannel& channel) {
  std::vector<mailbox::AccountSet> all;
  {
    const std::lock_guard lock(mutex_);
    all = std::exchange(given_up_, {});
  }
  for (const auto& accounts : all)
    channel.send({.word = "GIVEN", .parts = {accounts.backend, accounts.user}});
}

// Also makes sure that there are never more than were told.
void TakeoverDonor::tell_connections(TakeoverChannel& channel) {
  for (const auto& one : server_.cap_connections()) {
    const auto [known, fresh] = told_.try_emplace({one.backend, one.server}, one.number);
    if (!fresh && known->second == one.number) continue;
    known->second = one.number;
    channel.send({.word = "CONNECTIONS", .parts = {one.backend, one.server, std::to_string(one.number)}});
  }
}

}  // namespace imapmux::app
