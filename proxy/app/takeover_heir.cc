#include "app/takeover_heir.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <stdexcept>

#include "app/version.h"
#include "base/log.h"

namespace imapmux::app {
namespace {

namespace log = base::log;
using std::chrono::milliseconds;

constexpr milliseconds kAnswerLimit{10'000};
constexpr milliseconds kLookAgain{10};
constexpr milliseconds kPatience{10'000};  // beyond what the other process has said that it needs

uint32_t number_of(const std::string& text) {
  uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

TakeoverHeir::TakeoverHeir(TakeoverChannel channel) : channel_(std::move(channel)) {}

std::unique_ptr<TakeoverHeir> TakeoverHeir::connect(const std::string& path) {
  auto channel = TakeoverChannel::connect(path);
  if (!channel) return nullptr;
  std::unique_ptr<TakeoverHeir> heir(new TakeoverHeir(std::move(*channel)));
  heir->greet();
  heir->collect();
  return heir;
}

void TakeoverHeir::greet() {
  channel_.send(
      {.word = "HELLO",
       .parts = {std::string(TakeoverChannel::kMagic), std::string(TakeoverChannel::kVersion), kVersion}});
  const auto answer = channel_.expect(kAnswerLimit);
  if (answer.word == "NO")
    throw std::runtime_error("take-over: process " + std::to_string(channel_.peer()) +
                             " refuses: " + answer.part(0));
  if (answer.word != "HELLO" || answer.part(0) != TakeoverChannel::kMagic ||
      answer.part(1) != TakeoverChannel::kVersion)
    throw std::runtime_error("take-over: the other process does not speak version " +
                             std::string(TakeoverChannel::kVersion));
  log::info("take-over: from process {}, imapmux {}", channel_.peer(), answer.part(2));
}

void TakeoverHeir::collect() {
  for (auto message = channel_.expect(kAnswerLimit); message.word != "ALL";
       message = channel_.expect(kAnswerLimit)) {
    const auto endpoint = base::parse_endpoint(message.part(message.word == "ADMIN" ? 0 : 1));
    if (message.word == "SOCKET" && endpoint) {
      const auto kind = endpoint->is_unix() ? net::SocketKind::kUnix : net::SocketKind::kTcp;
      sockets_.push_back({message.part(0), *endpoint, kind, std::move(message.given)});
    } else if (message.word == "ADMIN" && !message.given.empty()) {
      admin_address_ = endpoint;
      admin_ = std::move(message.given.front());
    } else if (message.word == "TAKEOVER" && !message.given.empty()) {
      meeting_point_ = std::move(message.given.front());
    } else if (message.word == "BACKEND") {
      backends_[message.part(0)] = message.part(1);
    } else {
      throw std::runtime_error("take-over: the other process says " + message.word);
    }
  }
}

Inherited TakeoverHeir::inherited() {
  Inherited all;
  all.sockets = std::move(sockets_);
  all.admin_address = admin_address_;
  all.admin = std::move(admin_);
  all.accounts = std::make_unique<session::Inheritance>(std::move(backends_),
                                                        [this](const mailbox::AccountSet& accounts) {
                                                          const std::lock_guard lock(mutex_);
                                                          wanted_.push_back(accounts);
                                                        });
  return all;
}

void TakeoverHeir::claim(const std::vector<std::string>& sockets, session::Inheritance& accounts,
                         Connections connections) {
  accounts_ = &accounts;
  connections_ = std::move(connections);
  try {
    claim(sockets);
  } catch (const std::exception& error) {
    if (!channel_.peer_has_died()) throw;
    log::warn("{}", error.what());
  }
  thread_ = std::thread([this] { run(); });
}

void TakeoverHeir::claim(const std::vector<std::string>& sockets) {
  channel_.send({.word = "READY", .parts = sockets});
  for (auto message = channel_.expect(kAnswerLimit);; message = channel_.expect(kAnswerLimit)) {
    note(message);
    if (message.word != "YOURS") continue;
    ends_by_ = std::chrono::steady_clock::now() + milliseconds(number_of(message.part(0))) + kPatience;
    break;
  }
}

void TakeoverHeir::note(const TakeoverMessage& message) {
  if (message.word == "CONNECTIONS") {
    const auto number = number_of(message.part(2));
    theirs_[{message.part(0), message.part(1)}] = number;
    connections_(message.part(0), message.part(1), number);
  } else if (message.word == "GIVEN") {
    accounts_->given({message.part(0), message.part(1)});
  } else if (message.word == "DONE") {
    done_ = true;
  }
}

void TakeoverHeir::run() {
  try {
    talk();
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  if (stopping_) return;
  end_of_the_other();
  accounts_->given_all();
  for (const auto& [server, number] : theirs_) connections_(server.first, server.second, 0);
}

void TakeoverHeir::talk() {
  while (channel_.is_open() && !done_ && !stopping_) {
    std::vector<mailbox::AccountSet> wanted;
    {
      const std::lock_guard lock(mutex_);
      wanted = std::exchange(wanted_, {});
    }
    for (auto& accounts : wanted) channel_.send({.word = "WANT", .parts = {accounts.backend, accounts.user}});
    if (const auto message = channel_.receive(kLookAgain)) note(*message);
    if (std::chrono::steady_clock::now() > ends_by_)
      throw std::runtime_error(
          fmt::format("take-over: process {} does not come to its end", channel_.peer()));
  }
}

void TakeoverHeir::end_of_the_other() {
  if (done_) {
    channel_.close();
    log::info("take-over: process {} has given up everything", channel_.peer());
    return;
  }
  channel_.end_peer();
  log::warn("take-over: process {} has died; everything is this one's", channel_.peer());
}

TakeoverHeir::~TakeoverHeir() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

}  // namespace imapmux::app
