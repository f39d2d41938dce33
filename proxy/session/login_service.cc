// What becomes of a login that an auth_http service decides about. It is asked at each login, whatever is
// known of the credential: it may lock a user out, or move him, at any time.
#include <fmt/format.h>

#include "backend/auth_service.h"
#include "backend/open.h"
#include "base/log_event.h"
#include "session/client_session.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Millis;
using Verdict = auth::ServiceAnswer::Verdict;

using base::log::Event;
using base::log::Level;
Event refused_event{Level::kInfo, "login refused", Event::Volume::kLimited};
Event failed_event{Level::kWarn, "login impossible", Event::Volume::kLimited};  // by the service's fault

// To one that says WAIT without Auth-Wait.
constexpr Millis kAskAgain{1'000};

// The same codes that a backend refuses with when it means that it can't. (Not its words: "too many" may well
// be wrong passwords.)
bool is_temporary(const auth::ServiceAnswer& answer) {
  if (answer.verdict == Verdict::kUnavailable) return true;
  backend::TaggedReply reply;
  reply.code = answer.code;
  return backend::classify_refusal(reply) == backend::LoginVerdict::kNoSlot;
}

void apply(auth::ServiceAnswer answer, const config::Backend& backend, auth::Credential& credential,
           routing::Target& target) {
  if (!answer.user.empty()) target.login_name = answer.user;
  if (!answer.password.empty()) {
    credential.mechanism = config::Mechanism::kLogin;
    credential.authentication_id = target.login_name;
    credential.authorization_id.clear();
    credential.secret = std::move(answer.password);
  }
  target.server = std::move(answer.server);
  if (target.server && target.server->port == 0) target.server->port = config::usual_port(backend.tls);
}

}  // namespace

auth::ClientFacts ClientSession::facts_for_service() const {
  const auto& peer = stream_->peer();
  auth::ClientFacts facts;
  facts.attempt = attempts_;
  facts.address = peer.address ? peer.address->to_string() : "unix:";
  if (peer.told_by_proxy) {
    facts.proxy_header = auth::ClientFacts::ProxyHeader{.address = peer.address->to_string(),
                                                        .port = std::to_string(peer.port),
                                                        .server_address = peer.local_address->to_string(),
                                                        .server_port = std::to_string(peer.local_port)};
  }
  const auto* tls = dynamic_cast<const net::TlsStream*>(stream_.get());
  if (!tls) return facts;
  const auto shown = tls->facts();
  facts.tls.emplace(shown.protocol, shown.cipher);
  if (const auto& peers = shown.peer)
    facts.tls->certificate.emplace(peers->subject, peers->issuer, peers->serial, peers->fingerprint);
  return facts;
}

std::string ClientSession::name_for_service(const Login& login) const {
  return login.backend().name + '\0' + user_;
}

// True: the login goes on with what the service has said. False: it is answered.
Task<bool> ClientSession::ask_service(Login& login) {
  const auto& backend = login.backend();
  const auto& credential = login.credential;
  login.name = name_for_service(login);
  backend_name_ = backend.name;
  // The protocol has no place for a second name: whose password it is would not be known.
  if (!credential.authorization_id.empty() && credential.authorization_id != credential.authentication_id) {
    log(refused_event, {{"reason", "auth_http knows no authorization identity"}});
    co_await refuse(login.tag, login.name, {}, "[AUTHORIZATIONFAILED] Log in as yourself");
    co_return false;
  }
  co_await may_ask(login.name, nullptr, Line::kAll, backend.lease_wait, [] { return false; });
  std::string problem;
  try {
    waiting_for_ = "auth_http";
    auto answer = co_await answer_of_service(login);
    waiting_for_.clear();
    if (answer.verdict != Verdict::kAccepted) {
      co_await refused_by_service(login, std::move(answer));
      co_return false;
    }
    if (!answer.server && backend.servers.empty()) throw backend::ServiceUnavailable("no Auth-Server");
    // It may say so to everybody, and leave it to the backend whose password it is.
    host_.shared().throttle.not_decided(counted_address(), login.name);
    apply(std::move(answer), backend, login.credential, login.target);
    co_return true;
  } catch (const backend::ServiceUnavailable& error) {
    problem = error.what();
  }
  host_.wipe_buffers();
  waiting_for_.clear();
  log(failed_event, {{"auth_http", login.target.auth_http->url}, {"reason", problem}, {"took", busy_for()}});
  unavailable(login.tag, "UNAVAILABLE", "Logins can't be checked just now");
  co_return false;
}

// Asks for as long as it says WAIT. Throws backend::ServiceUnavailable.
Task<auth::ServiceAnswer> ClientSession::answer_of_service(const Login& login) {
  const auto service = service_->auth_services.at(login.target.auth_http);
  for (;;) {
    auto question = auth::write_question(service->settings(), login.credential, facts_for_service());
    auto answer = co_await host_.ask(service, std::move(question));
    host_.wipe_buffers();
    if (answer.verdict != Verdict::kAskAgain) co_return answer;
    if (giving_up()) throw backend::ServiceUnavailable("it said WAIT");
    co_await async::sleep_for(answer.wait.value_or(kAskAgain));
  }
}

Task<> ClientSession::refused_by_service(Login& login, auth::ServiceAnswer answer) {
  if (is_temporary(answer)) {
    log(failed_event, {{"auth_http", login.target.auth_http->url}, {"reason", answer.text}});
    co_await async::sleep_for(answer.wait.value_or(Millis(0)));
    unavailable(login.tag, answer.code.empty() ? "UNAVAILABLE" : answer.code, answer.text);
  } else {
    log(refused_event, {{"auth_http", login.target.auth_http->url}, {"reason", answer.text}});
    const std::string code = answer.code.empty() ? "AUTHENTICATIONFAILED" : answer.code;
    co_await refuse(login.tag, login.name, {}, fmt::format("[{}] {}", code, answer.text),
                    answer.wait.value_or(Millis(0)));
  }
  // As nginx does: by that services limit the attempts on one connection.
  if (!answer.wait) say_bye("Log in again on another connection");
}

}  // namespace imapmux::session
