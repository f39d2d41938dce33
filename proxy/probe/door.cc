#include "probe/door.h"

#include <algorithm>

namespace imapmux::probe {

namespace {

using async::Task;
using Verdict = Opening::Verdict;

constexpr base::Millis kLongestConnect{10'000};
constexpr base::Millis kNoKeepalive{0};

config::ConfigPtr one_backend(const Options& options) {
  auto config = std::make_shared<config::Config>();
  config::Backend& backend = config->backends["probed"];
  backend.name = "probed";
  backend.servers = {options.server};
  backend.tls = options.tls;
  backend.tls_verify = options.tls_verify;
  backend.ca = options.ca;
  backend.server_name = options.server_name;
  backend.min_protocol = options.min_protocol;
  backend.ciphers = options.ciphers;
  backend.connect_timeout = std::min(options.timeout, kLongestConnect);
  backend.command_timeout = options.timeout;
  return config;
}

}  // namespace

Door::Door(net::EventLoop& loop, Transcript& transcript, const Options& options, base::Secret password)
    : loop_(loop), transcript_(transcript) {
  credential_.secret = std::move(password);
  const auto config = one_backend(options);
  const auto known = std::make_shared<backend::KnownServers>();
  servers_ = backend::BackendServers::make(config, config->backends.at("probed"), known);
}

Task<std::unique_ptr<backend::BackendConnection>> Door::connect(Opening& opening) {
  try {
    auto connection = co_await backend::connect_to(loop_, servers_, servers_->servers().front(), std::nullopt,
                                                   backend().connect_timeout, kNoKeepalive);
    co_return connection;
  } catch (const backend::TurnedAway& away) {
    opening.verdict = Verdict::kTurnedAway;
    opening.text = away.what();
  } catch (const net::ConnectionLost& lost) {
    opening.verdict = Verdict::kUnreachable;
    opening.text = lost.what();
  }
  co_return nullptr;
}

Task<Opening> Door::open(std::string name, std::string user) {
  Opening opening;
  auto connection = co_await connect(opening);
  if (!connection) co_return opening;
  opening.before = connection->capabilities();
  auto session = std::make_unique<Session>(std::move(name), transcript_, std::move(connection));
  try {
    credential_.authentication_id = user;
    auto outcome = co_await session->log_in(backend(), credential_, user);
    opening.text = backend::to_text(outcome.reply);
    opening.verdict = outcome.verdict == backend::LoginVerdict::kAccepted ? Verdict::kOpen
                      : outcome.verdict == backend::LoginVerdict::kNoSlot ? Verdict::kNoSlot
                                                                          : Verdict::kRefused;
  } catch (const net::ConnectionLost& lost) {
    opening.verdict = Verdict::kCutAtLogin;
    opening.text = without(credential_.secret, lost.what());
  }
  if (opening.verdict == Verdict::kOpen)
    opening.session = std::move(session);
  else
    co_await session->close();
  co_return opening;
}

}  // namespace imapmux::probe
