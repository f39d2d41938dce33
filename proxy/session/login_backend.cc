// What becomes of a login whose account is this worker's: a place for a connection, what the backend says,
// the session that follows.
#include "backend/open.h"
#include "base/log_event.h"
#include "session/capability_list.h"
#include "session/client_session.h"
#include "session/relay.h"
#include "session/shared_session.h"

namespace imapmux::session {
namespace {

using async::Task;

// Sees to it that a connection whose login did not come to anything is closed properly, also when the session
// is cancelled: until the server has closed, it counts for K and max_connections.
class Burial {
 public:
  Burial(Host& host, Seat& seat) : host_(host), seat_(seat) {}
  ~Burial() { now(); }
  Burial(const Burial&) = delete;
  Burial& operator=(const Burial&) = delete;
  void now() {
    if (needed_ && seat_.connection) host_.bury(std::move(seat_));
    needed_ = false;
  }
  void not_needed() { needed_ = false; }

 private:
  Host& host_;
  Seat& seat_;
  bool needed_ = true;
};

using base::log::Event;
using base::log::Level;
Event login_event{Level::kInfo, "login"};
Event refused_event{Level::kInfo, "login refused", Event::Volume::kLimited};
Event impossible_event{Level::kInfo, "login impossible", Event::Volume::kLimited};
Event failed_event{Level::kWarn, "login impossible", Event::Volume::kLimited};  // by the backend's fault

constexpr base::Millis kAskAgain{500};
constexpr base::Millis kAskBefore{20};

mailbox::SharedAccount::Claim claim_of(auth::AuthThrottle::Standing standing) {
  using Claim = mailbox::SharedAccount::Claim;
  switch (standing) {
    case auth::AuthThrottle::Standing::kKnown:
      return Claim::kAny;
    case auth::AuthThrottle::Standing::kStranger:
      return Claim::kIdle;
    case auth::AuthThrottle::Standing::kSuspect:
      return Claim::kSpare;
  }
  return Claim::kSpare;
}

}  // namespace

// Until this login may ask the backend. Whoever guesses waits for longer and longer, on this connection or
// another; and of one account one credential is verified at a time, unless each session needs a connection of
// its own. Empty: it did not come to that, or `decided` says that there is nothing to be asked any more.
Task<mailbox::Account::Check> ClientSession::may_ask(std::string name,
                                                     std::shared_ptr<mailbox::Account> account, Line line,
                                                     base::Millis limit, std::function<bool()> decided) {
  auto& throttle = host_.shared().throttle;
  auto& scheduler = host_.scheduler();
  for (;;) {
    const auto hold = throttle.hold(counted_address(), name, scheduler.now());
    if (hold.count() > 0) {
      co_await async::sleep_for(hold);
      continue;
    }
    mailbox::Account::Check check;
    if (line == Line::kOneAtATime) {
      using Rank = mailbox::Account::Rank;
      const auto standing = throttle.standing(counted_address(), name);
      const auto rank = standing == auth::AuthThrottle::Standing::kKnown ? Rank::kKnown : Rank::kStranger;
      auto got = co_await mailbox::Account::begin_check(
          account, scheduler, rank, limit, [this, &decided] { return giving_up() || decided(); });
      if (!got || decided()) co_return mailbox::Account::Check();
      check = std::move(got);
    }
    const auto left =
        throttle.admit(counted_address(), name, config().limits.auth_failure_delay, scheduler.now());
    if (left.count() == 0) co_return check;
    check.end();  // somebody has failed meanwhile
    co_await async::sleep_for(left);
  }
}

Task<> ClientSession::open_backend(Login& login) {
  const auto& backend = login.backend();
  login.servers = service_->backends.at(backend.name);
  login.name = backend.name + '\0' + login.target.login_name;
  backend_name_ = backend.name;
  login_name_ = login.target.login_name;
  if (host_.has_given_up(backend.name, login_name_)) {
    unavailable(login.tag, "UNAVAILABLE", "Another process serves you from now on, connect again");
    shut_down();
    co_return;
  }
  if (const auto* before = host_.shared().inheritance.get(); before && !before->complete()) {
    co_await wait_for_inheritance(login);
    if (giving_up()) {
      unavailable(login.tag, "UNAVAILABLE", "Too late");
      co_return;
    }
  }
  const auto& named = login.target.server;
  if (named && !login.servers->has_only(*named))
    login.servers = login.servers->at(*named, host_.scheduler().now());
  if (!login.servers) {
    log(failed_event, {{"reason", "auth_http names too many servers"}});
    unavailable(login.tag, "UNAVAILABLE", "The mail server can't be reached");
    co_return;
  }
  if (login.servers->candidates(login.target.login_name, host_.scheduler().now()).empty()) {
    log(impossible_event, {{"reason", "down, as the health checks say, or drained"}});
    unavailable(login.tag, "UNAVAILABLE", "The mail server is down");
    co_return;
  }
  if (!login.relays()) login.digest = auth::CredentialCache::digest(login.credential);
  auto sharing = known(login);
  if (is_verified(sharing, login.digest)) {
    share(login, std::move(sharing));
    co_return;
  }

  login.account = host_.accounts().get(login.servers->name(), login.target.login_name);
  waiting_for_ = "a connection to " + backend.name;
  waiting_account_ = login.account;
  const auto line = login.shares() ? Line::kOneAtATime : Line::kAll;
  login.check = co_await may_ask(login.name, login.account, line, backend.lease_wait,
                                 [&login, this] { return is_verified(known(login), login.digest); });
  auto place = co_await place_for(login);
  waiting_account_.reset();
  waiting_for_.clear();
  switch (place) {
    case Place::kTaken:
      co_await ask(login);
      break;
    case Place::kNotNeeded:
      share(login, known(login));
      break;
    case Place::kKnownWrong:
      log(refused_event, {{"reason", "as before"}});
      login.check.end();
      co_await refuse(std::move(login.tag), login.name, {});
      break;
    case Place::kNone:
      log(impossible_event, {{"reason", giving_up() ? "the client left, or the proxy stops"
                                                    : "too many connections of this user"},
                             {"took", busy_for()}});
      unavailable(login.tag, "LIMIT", "Too many connections of this user");
      break;
  }
}

// Until the process that this one takes over from has given the account up, or the client gives up waiting.
Task<> ClientSession::wait_for_inheritance(const Login& login) {
  auto& inheritance = *host_.shared().inheritance;
  waiting_for_ = "the process before this one";
  while (!inheritance.has(login.backend(), login.target.login_name) && !giving_up())
    co_await nudges_.wait_for(kAskBefore);
  waiting_for_.clear();
}

// A place for a connection, as long as it is this login's turn to be verified.
Task<ClientSession::Place> ClientSession::place_for(Login& login) {
  const auto& backend = login.backend();
  const auto deadline = host_.scheduler().now() + backend.lease_wait;
  const auto standing = host_.shared().throttle.standing(counted_address(), login.name);
  const bool guesses = standing == auth::AuthThrottle::Standing::kSuspect;
  const auto claim = claim_of(standing);
  for (;;) {
    const auto sharing = known(login);
    if (is_verified(sharing, login.digest)) co_return Place::kNotNeeded;  // by another session, meanwhile
    if (is_refused(sharing, login.digest)) co_return Place::kKnownWrong;
    if (login.shares() && !login.check) co_return Place::kNone;
    std::optional<mailbox::SharedAccount::RoomWish> wish;
    if (sharing) wish.emplace(*sharing, claim);
    // Those who guess get what nobody else needs, and do not wait for it.
    if (sharing && guesses && !sharing->has_spare_place()) co_return Place::kNone;
    const auto most = sharing ? sharing->most_connections() : backend.connections_per_user;
    auto left = std::chrono::duration_cast<base::Millis>(deadline - host_.scheduler().now());
    if (login.shares() && !sharing && !guesses && most != 0 && login.account->used() >= most) {
      host_.shared_accounts().close_unused(*login.account);
      login.account->want_place(nullptr);
      left = std::min(left, kAskAgain);  // they may be busy just now
    }
    login.seat.slot = co_await mailbox::Account::take_slot(
        login.account, host_.scheduler(), most, left, [this, &login, sharing] {
          return giving_up() || known(login) != sharing || is_verified(sharing, login.digest);
        });
    if (login.seat.slot) co_return Place::kTaken;
    if (giving_up() || host_.scheduler().now() >= deadline) co_return Place::kNone;
  }
}

// Connects, and logs in with what the client gave.
Task<> ClientSession::ask(Login& login) {
  const auto& backend = login.backend();
  auto& seat = login.seat;
  seat.login_name = login.target.login_name;
  seat.backend = &backend;
  seat.servers = login.servers;
  Burial burial(host_, seat);

  backend::LoginOutcome outcome;
  std::string problem;
  try {
    auto for_whom = backend::tells_origin(backend) ? origin() : std::nullopt;
    seat.connection = co_await host_.connect(login.servers, seat.login_name, std::move(for_whom));
    server_name_ = seat.connection->server->endpoint.to_string();
    outcome = co_await backend::log_in(*seat.connection, backend, login.credential, seat.login_name);
  } catch (const backend::BackendUnavailable& error) {
    problem = error.what();
  } catch (const net::ConnectionLost& lost) {
    problem = lost.what();
  }
  host_.wipe_buffers();
  if (!problem.empty()) {
    log(failed_event, {{"reason", problem}, {"took", busy_for()}});
    unavailable(login.tag, "UNAVAILABLE", "The mail server can't be reached");
    co_return;
  }
  switch (outcome.verdict) {
    case backend::LoginVerdict::kNoSlot:
      log(failed_event, {{"reason", "the server has no room: " + outcome.reply.text}});
      if (const auto sharing = known(login)) sharing->no_slot();
      unavailable(login.tag, "UNAVAILABLE", "The mail server takes no more connections of this user");
      co_return;
    case backend::LoginVerdict::kRefused:
      log(refused_event, {{"reason", outcome.reply.text}});
      burial.now();
      login.check.end();
      if (const auto sharing = known(login))
        sharing->credentials().refused(login.digest, host_.scheduler().now());
      co_await refuse(std::move(login.tag), login.name, outcome.challenge);
      co_return;
    case backend::LoginVerdict::kAccepted:
      break;
  }
  if (login.relays() && !admit_user(login.tag, login.name)) co_return;
  burial.not_needed();
  accepted(login);
}

// The backend has accepted the credential, and the connection is logged in.
void ClientSession::accepted(Login& login) {
  const auto& login_name = login.target.login_name;
  login.servers->settled(login_name, *login.seat.connection->server);
  if (login.relays()) {
    note_success(login);
    host_.shared().counters.logins.fetch_add(1, std::memory_order_relaxed);
    log(login_event, {{"as", login_name},
                      {"listener", listener_->name},
                      {"tls", stream_->peer().tls},
                      {"took", busy_for()}});
    relay(login);
    return;
  }
  auto& accounts = host_.shared_accounts();
  auto sharing = login.shares() ? accounts.get(login.account, login.servers, login_name, login.digest)
                                : accounts.make_private(login.servers, login_name);
  sharing->credentials().verified(login.digest, host_.scheduler().now());
  sharing->adopt(std::move(login.seat.connection), std::move(login.seat.slot), std::move(login.credential),
                 login.digest);
  login.check.end();
  if (login.shares()) login.account->stop_waiting();  // others may wait to have the same credential verified
  share(login, std::move(sharing));
}

void ClientSession::note_success(const Login& login) {
  auto& throttle = host_.shared().throttle;
  throttle.succeeded(counted_address(), login.name);
  if (login.target.auth_http) throttle.succeeded(counted_address(), name_for_service(login));
}

// A relay takes the client and the connection from here on: nothing is left for this session to do.
void ClientSession::relay(Login& login) {
  auto& seat = login.seat;
  const auto connection = std::move(seat.connection);
  enter(State::kRelaying);
  writer_.tagged(
      login.tag,
      "OK [CAPABILITY " + relayed_capabilities(connection->capabilities(), login.backend()) + "] Logged in");
  command_answered();
  timer_.stop();
  stream_->set_handler(nullptr);
  reader_.detach();
  writer_.set_stream(nullptr);
  auto relay = std::make_unique<Relay>(host_, host_.scheduler(),
                                       Relay::Client{.stream = std::move(stream_),
                                                     .trace = std::move(trace_),
                                                     .places = std::move(places_),
                                                     .listener = {greeted_by_, listener_},
                                                     .user = std::move(user_),
                                                     .id = id_,
                                                     .connected_at = connected_at_,
                                                     .idle_timeout = config().limits.idle_timeout,
                                                     .received = reader_.received(),
                                                     .sent = writer_.sent(),
                                                     .commands = static_cast<uint32_t>(commands_),
                                                     .has_finished = reader_.eof()},
                                       Relay::Backend{.stream = connection->take_stream(),
                                                      .permit = std::move(connection->permit),
                                                      .stay = std::move(connection->stay),
                                                      .slot = std::move(seat.slot),
                                                      .server = connection->server,
                                                      .servers = std::move(seat.servers)});
  auto& begun = *relay;
  unlink();
  host_.keep(std::move(relay));
  begun.begin(reader_.take_held(), connection->take_rest());
  if (connection->lost()) begun.backend_lost(connection->lost_reason());
  if (stopping_) begun.shut_down();
}

// The account that this login may become a session of: with `shared`, if it is there.
std::shared_ptr<mailbox::SharedAccount> ClientSession::known(const Login& login) const {
  if (!login.shares()) return nullptr;
  return host_.shared_accounts().find(*login.servers, login.target.login_name, login.digest);
}

bool ClientSession::is_verified(const std::shared_ptr<mailbox::SharedAccount>& sharing,
                                const auth::CredentialCache::Digest& digest) const {
  return sharing && sharing->credentials().look_up(digest, host_.scheduler().now()) ==
                        auth::CredentialCache::Answer::kVerified;
}

bool ClientSession::is_refused(const std::shared_ptr<mailbox::SharedAccount>& sharing,
                               const auth::CredentialCache::Digest& digest) const {
  return sharing && sharing->credentials().look_up(digest, host_.scheduler().now()) ==
                        auth::CredentialCache::Answer::kRefused;
}

// Takes one of max_clients_per_user, once the credential is known to be good: who guesses learns nothing.
// False: there is none, and the login is answered (RFC 5530). `name`: backend and login name.
bool ClientSession::admit_user(const std::string& tag, const std::string& name) {
  const auto most = config().limits.max_clients_per_user;
  if (auto place = host_.shared().clients_of_user.take(base::lower(name), most)) {
    places_.of_user = std::move(*place);
    return true;
  }
  log(impossible_event, {{"reason", "max_clients_per_user"}, {"limit", most}});
  unavailable(tag, "LIMIT", "Too many clients of this user");
  return false;
}

// The credential is good: the session becomes one of its account's.
void ClientSession::share(const Login& login, std::shared_ptr<mailbox::SharedAccount> account) {
  note_success(login);
  if (!admit_user(login.tag, login.name)) return;
  host_.shared().counters.logins.fetch_add(1, std::memory_order_relaxed);
  log(login_event, {{"as", login.target.login_name},
                    {"listener", listener_->name},
                    {"tls", stream_->peer().tls},
                    {"took", busy_for()},
                    {"sessions", account->members() + 1}});
  reader_.set_limits({.max_command = config().limits.max_command_size, .max_literal = 64 * 1024});
  enter(State::kAuthenticated);
  auto shared = std::make_unique<SharedSession>(*this, std::move(account), login.digest);
  writer_.tagged(login.tag, "OK [CAPABILITY " + shared->capabilities() + "] Logged in");
  after_login_ = std::move(shared);
  reader_.expect_commands();
}

// `name`: what failures are counted by. `challenge`: of an OAuth mechanism, which the client answers before
// it hears NO. `at_least`: how long that takes.
Task<> ClientSession::refuse(std::string tag, std::string name, std::string challenge, std::string text,
                             base::Millis at_least) {
  host_.shared().counters.logins_refused.fetch_add(1, std::memory_order_relaxed);
  const auto delay = host_.shared().throttle.failed(
      counted_address(), name, config().limits.auth_failure_delay, host_.scheduler().now());
  if (!challenge.empty()) {
    std::string ignored;
    auto answered = co_await sasl_line(ignored, challenge);
    if (!answered) co_return;
  }
  // From here on it is nobody's session, whose account may be given to another process.
  backend_name_.clear();
  login_name_.clear();
  server_name_.clear();
  co_await async::sleep_for(std::max(delay, at_least));
  // The same words whether the user exists or not, unless an auth_http service has others.
  writer_.tagged(tag, "NO " + text);
  user_.clear();
  enter(State::kNotAuthenticated);
  reader_.expect_commands();
}

void ClientSession::unavailable(const std::string& tag, std::string_view code, std::string_view why) {
  host_.shared().counters.logins_unavailable.fetch_add(1, std::memory_order_relaxed);
  writer_.tagged(tag, "NO [" + std::string(code) + "] " + std::string(why));
  enter(State::kNotAuthenticated);
  reader_.expect_commands();
}

}  // namespace imapmux::session
