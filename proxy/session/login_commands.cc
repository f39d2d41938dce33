// LOGIN and AUTHENTICATE: who the client is, which worker owns the account, what the backend says.
#include "backend/open.h"
#include "base/log.h"
#include "routing/router.h"
#include "session/client_session.h"
#include "session/relay_session.h"
#include "session/shared_session.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Secret;
using config::Mechanism;

bool offers(const config::Listener& listener, std::string_view mechanism) {
  if (mechanism == "PLAIN") return listener.auth_plain;
  if (mechanism == "LOGIN") return listener.auth_login;
  if (mechanism == "XOAUTH2") return listener.auth_xoauth2;
  if (mechanism == "OAUTHBEARER") return listener.auth_oauthbearer;
  return false;
}

std::optional<auth::Credential> parse_message(std::string_view mechanism, std::string_view encoded) {
  const auto message = auth::decode_base64(encoded);
  if (!message) return std::nullopt;
  if (mechanism == "PLAIN") return auth::parse_plain(message->view());
  if (mechanism == "XOAUTH2") return auth::parse_xoauth2(message->view());
  return auth::parse_oauthbearer(message->view());
}

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

constexpr base::Millis kAskAgain{500};

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

Task<> ClientSession::login(const Entry& entry) {
  const std::string tag = entry.command.tag;
  if (!login_allowed()) {
    writer_.tagged(tag, "NO [PRIVACYREQUIRED] Log in with TLS");
    reader_.expect_commands();
    co_return;
  }
  auto reader = entry.command.reader();
  auto user = reader.astring();
  const bool spaced = reader.space();
  auto password = reader.astring();
  base::wipe(const_cast<Entry&>(entry).command.text);
  if (!user || !spaced || !password || !reader.at_end() || user->empty() || user->size() > 1024) {
    if (password) base::wipe(*password);
    writer_.tagged(tag, "BAD LOGIN takes a user name and a password");
    reader_.expect_commands();
    co_return;
  }
  auth::Credential credential;
  credential.mechanism = Mechanism::kLogin;
  credential.authentication_id = std::move(*user);
  credential.secret = Secret(*password);
  base::wipe(*password);
  co_await decide(tag, std::move(credential));
}

Task<bool> ClientSession::sasl_line(std::string& line, std::string_view challenge) {
  writer_.go_ahead(challenge);
  reader_.expect_line();
  while (reader_.empty() && !stopping_) co_await reader_.arrivals().wait();
  if (stopping_ || reader_.front().kind != Entry::Kind::kLine) co_return false;  // next() deals with it
  Entry entry = reader_.take();
  line = std::move(entry.line);
  co_return true;
}

Task<> ClientSession::authenticate(const Entry& entry) {
  const std::string tag = entry.command.tag;
  auto reader = entry.command.reader();
  const auto name = reader.atom();
  const std::string mechanism = name ? base::upper(*name) : "";
  std::optional<std::string> initial;
  if (reader.space()) initial = std::string(reader.rest());
  base::wipe(const_cast<Entry&>(entry).command.text);

  std::string refusal;
  if (!login_allowed()) {
    refusal = "NO [PRIVACYREQUIRED] Log in with TLS";
  } else if (!offers(*listener_, mechanism)) {
    refusal = "NO [CANNOT] This mechanism is not offered";
  }
  if (!refusal.empty()) {
    writer_.tagged(tag, refusal);
    reader_.expect_commands();
    co_return;
  }

  // The client's lines; RFC 4959: "=" is an empty initial response.
  const bool two_steps = mechanism == "LOGIN";
  std::string first;
  std::string second;
  if (initial) {
    first = *initial == "=" ? "" : *initial;
    base::wipe(*initial);
  } else {
    auto got = co_await sasl_line(first, two_steps ? "VXNlcm5hbWU6" : "");
    if (!got) co_return;
  }
  if (two_steps && first != "*") {
    auto got = co_await sasl_line(second, "UGFzc3dvcmQ6");
    if (!got) co_return;
  }

  std::optional<auth::Credential> credential;
  const bool given_up = first == "*" || second == "*";
  if (given_up) {
    // RFC 3501, 6.2.2: BAD
  } else if (two_steps) {
    auto user = auth::decode_base64(first);
    auto password = auth::decode_base64(second);
    if (user && password && !user->empty()) {
      credential.emplace();
      credential->mechanism = Mechanism::kAuthLogin;
      credential->authentication_id = std::string(user->view());
      credential->secret = std::move(*password);
    }
  } else {
    credential = parse_message(mechanism, first);
  }
  base::wipe(first);
  base::wipe(second);
  if (!credential) {
    writer_.tagged(tag, given_up ? "BAD Cancelled" : "BAD The response is malformed");
    reader_.expect_commands();
    co_return;
  }
  co_await decide(tag, std::move(*credential));
}

// Which backend, which worker; then the backend decides.
Task<> ClientSession::decide(std::string tag, auth::Credential credential) {
  enter(State::kAuthenticating);
  host_.wipe_buffers();  // the client's octets
  user_ = credential.user();
  begin_trace(user_);
  const routing::LoginFacts facts{.user = user_,
                                  .listener = listener_->name,
                                  .source = stream_->peer().address,
                                  .sni = stream_->peer().sni};
  const auto target = routing::route(config(), facts);
  if (!target) {
    base::log::info("login refused: session {} user={} no route", label_, user_);
    co_await refuse(std::move(tag), user_, {});
    co_return;
  }
  const size_t owner = mailbox::Accounts::owner(target->backend->name, target->login_name, host_.workers());
  // A relay without a limit per user has nothing to share with the user's other sessions: it stays where it
  // is.
  const bool shares = target->backend->access != config::MailboxAccess::kUnrestricted ||
                      target->backend->connections_per_user > 0;
  if (shares && owner != host_.index()) {
    if (stopping_) {  // so is the other worker
      unavailable(tag, "UNAVAILABLE", "The proxy is shutting down");
      co_return;
    }
    co_await move_to(owner, std::move(tag), std::move(credential));
    co_return;
  }
  co_await open_backend(std::move(tag), std::move(credential), *target);
}

Task<> ClientSession::move_to(size_t worker, std::string tag, auth::Credential credential) {
  // Nothing may be on its way out: the octets would be torn apart.
  while (stream_->unsent() > 0) co_await async::sleep_for(base::Millis(1));
  auto out = std::make_unique<HandedOver>();
  out->id = id_;
  out->service = service_;
  out->listener = listener_->name;
  out->tag = std::move(tag);
  out->peer = stream_->peer();
  out->connected_at = connected_at_;
  out->places = std::move(places_);
  stream_->set_handler(nullptr);
  if (auto* tls = dynamic_cast<net::TlsStream*>(stream_.get())) {
    out->tls = true;
    out->kind = tls->kind();
    out->transfer = tls->release(out->fd);
  } else {
    auto& tcp = static_cast<net::TcpStream&>(*stream_);  // NOLINT: a client's stream is one of the two
    out->kind = tcp.kind();
    out->fd = tcp.release();
  }
  out->unread = reader_.take_held();
  out->credential = std::move(credential);
  destination_ = worker;
  hand_over_ = std::move(out);
  host_.shared().counters.hand_overs.fetch_add(1, std::memory_order_relaxed);
}

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

Task<> ClientSession::open_backend(std::string tag, auth::Credential credential, routing::Target target) {
  const auto& backend = *target.backend;
  const auto servers = service_->backends.at(backend.name);
  backend_name_ = backend.name;

  if (servers->candidates(target.login_name, host_.scheduler().now()).empty()) {
    base::log::info("login impossible: session {} user={} backend={}: down, as the health checks say", label_,
                    user_, backend.name);
    unavailable(tag, "UNAVAILABLE", "The mail server is down");
    co_return;
  }
  const bool shares = backend.access == config::MailboxAccess::kShared;
  const auto digest = auth::CredentialCache::digest(credential);
  const auto known = [&] {
    return shares ? host_.shared_accounts().find(backend, target.login_name, digest) : nullptr;
  };
  if (is_verified(known(), digest)) {
    share(std::move(tag), known(), target.login_name, digest);
    co_return;
  }

  const std::string name = backend.name + '\0' + target.login_name;
  auto account = host_.accounts().get(backend.name, target.login_name);
  waiting_for_ = "a connection to " + backend.name;
  waiting_account_ = account;
  auto check = co_await may_ask(name, account, shares ? Line::kOneAtATime : Line::kAll, backend.lease_wait,
                                [known, digest, this] { return is_verified(known(), digest); });
  Seat seat;
  const auto deadline = host_.scheduler().now() + backend.lease_wait;
  const auto standing = host_.shared().throttle.standing(counted_address(), name);
  const auto claim = claim_of(standing);
  for (;;) {
    const auto sharing = known();
    if (is_verified(sharing, digest)) {  // by another session, meanwhile
      waiting_account_.reset();
      waiting_for_.clear();
      share(std::move(tag), sharing, target.login_name, digest);
      co_return;
    }
    if (sharing && sharing->credentials().look_up(digest, host_.scheduler().now()) ==
                       auth::CredentialCache::Answer::kRefused) {
      waiting_account_.reset();
      waiting_for_.clear();
      base::log::info("login refused: session {} user={} backend={}: as before", label_, user_, backend.name);
      check.end();
      co_await refuse(std::move(tag), name, {});
      co_return;
    }
    if (shares && !check) break;
    std::optional<mailbox::SharedAccount::RoomWish> wish;
    if (sharing) wish.emplace(*sharing, claim);
    // Those who guess get what nobody else needs, and do not wait for it.
    if (sharing && standing == auth::AuthThrottle::Standing::kSuspect && !sharing->has_spare_place()) break;
    const auto most = sharing ? sharing->most_connections() : backend.connections_per_user;
    const bool guesses = standing == auth::AuthThrottle::Standing::kSuspect;
    auto left = std::chrono::duration_cast<base::Millis>(deadline - host_.scheduler().now());
    if (shares && !sharing && !guesses && most != 0 && account->used() >= most) {
      host_.shared_accounts().close_unused(*account);
      account->want_place(nullptr);
      left = std::min(left, kAskAgain);  // they may be busy just now
    }
    seat.slot = co_await mailbox::Account::take_slot(
        account, host_.scheduler(), most, left, [this, known, sharing, digest] {
          return giving_up() || known() != sharing || is_verified(sharing, digest);
        });
    if (seat.slot || giving_up() || host_.scheduler().now() >= deadline) break;
  }
  waiting_account_.reset();
  waiting_for_.clear();
  if (!seat.slot) {
    unavailable(tag, "LIMIT", "Too many connections of this user");
    co_return;
  }
  seat.login_name = target.login_name;
  seat.backend = &backend;
  seat.servers = servers;
  Burial burial(host_, seat);

  backend::LoginOutcome outcome;
  std::string problem;
  try {
    seat.connection = co_await host_.connect(servers, target.login_name);
    server_name_ = seat.connection->server->endpoint.to_string();
    outcome = co_await backend::log_in(*seat.connection, backend, credential, target.login_name);
  } catch (const backend::BackendUnavailable& error) {
    problem = error.what();
  } catch (const net::ConnectionLost& lost) {
    problem = lost.what();
  }
  host_.wipe_buffers();
  if (!problem.empty()) {
    base::log::warn("login impossible: session {} user={} backend={}: {}", label_, user_, backend.name,
                    problem);
    unavailable(tag, "UNAVAILABLE", "The mail server can't be reached");
    co_return;
  }
  if (outcome.verdict == backend::LoginVerdict::kNoSlot) {
    base::log::warn("login impossible: session {} user={} backend={} has no room: {}", label_, user_,
                    backend.name, outcome.reply.text);
    if (const auto sharing = known()) sharing->no_slot();
    unavailable(tag, "UNAVAILABLE", "The mail server takes no more connections of this user");
    co_return;
  }
  if (outcome.verdict == backend::LoginVerdict::kRefused) {
    base::log::info("login refused: session {} user={} backend={}: {}", label_, user_, backend.name,
                    outcome.reply.text);
    burial.now();
    check.end();
    if (const auto sharing = known()) sharing->credentials().refused(digest, host_.scheduler().now());
    co_await refuse(std::move(tag), name, outcome.challenge);
    co_return;
  }
  const bool relays = backend.access == config::MailboxAccess::kUnrestricted;
  if (relays && !admit_user(tag, name)) co_return;
  burial.not_needed();

  if (relays) {
    host_.shared().throttle.succeeded(counted_address(), name);
    host_.shared().counters.logins.fetch_add(1, std::memory_order_relaxed);
    base::log::info("login: session {} user={} backend={} server={} as={} tls={}", label_, user_,
                    backend.name, server_name_, target.login_name, stream_->peer().tls);
    enter(State::kRelaying);
    after_login_ = std::make_unique<RelaySession>(*this, std::move(seat), std::move(tag));
    co_return;
  }
  auto& accounts = host_.shared_accounts();
  auto sharing = shares ? accounts.get(account, servers, target.login_name, digest)
                        : accounts.make_private(servers, target.login_name);
  sharing->credentials().verified(digest, host_.scheduler().now());
  sharing->adopt(std::move(seat.connection), std::move(seat.slot), std::move(credential), digest);
  check.end();
  if (shares) account->stop_waiting();  // others may wait to have the same credential verified
  share(std::move(tag), std::move(sharing), target.login_name, digest);
}

bool ClientSession::is_verified(const std::shared_ptr<mailbox::SharedAccount>& sharing,
                                const auth::CredentialCache::Digest& digest) const {
  return sharing && sharing->credentials().look_up(digest, host_.scheduler().now()) ==
                        auth::CredentialCache::Answer::kVerified;
}

// Takes one of max_clients_per_user, once the credential is known to be good: who guesses learns nothing.
// False: there is none, and the login is answered (RFC 5530). `name`: backend and login name.
bool ClientSession::admit_user(const std::string& tag, const std::string& name) {
  const auto most = config().limits.max_clients_per_user;
  if (auto place = host_.shared().clients_of_user.take(base::lower(name), most)) {
    places_.of_user = std::move(*place);
    return true;
  }
  base::log::info("login impossible: session {} user={} backend={}: {} clients of this user", label_, user_,
                  backend_name_, most);
  unavailable(tag, "LIMIT", "Too many clients of this user");
  return false;
}

// The credential is good: the session becomes one of its account's.
void ClientSession::share(std::string tag, std::shared_ptr<mailbox::SharedAccount> account,
                          const std::string& login_name, const auth::CredentialCache::Digest& digest) {
  const auto name = account->config().name + '\0' + login_name;
  host_.shared().throttle.succeeded(counted_address(), name);
  if (!admit_user(tag, name)) return;
  host_.shared().counters.logins.fetch_add(1, std::memory_order_relaxed);
  base::log::info("login: session {} user={} backend={} as={} tls={} sessions={}", label_, user_,
                  account->config().name, login_name, stream_->peer().tls, account->members() + 1);
  reader_.set_limits({.max_command = config().limits.max_command_size, .max_literal = 64 * 1024});
  enter(State::kAuthenticated);
  auto shared = std::make_unique<SharedSession>(*this, std::move(account), digest);
  writer_.tagged(tag, "OK [CAPABILITY " + shared->capabilities() + "] Logged in");
  after_login_ = std::move(shared);
  reader_.expect_commands();
}

// `name`: what failures are counted by. `challenge`: of an OAuth mechanism, which the client answers before
// it hears NO.
Task<> ClientSession::refuse(std::string tag, std::string name, std::string challenge) {
  host_.shared().counters.logins_refused.fetch_add(1, std::memory_order_relaxed);
  const auto delay = host_.shared().throttle.failed(
      counted_address(), name, config().limits.auth_failure_delay, host_.scheduler().now());
  if (!challenge.empty()) {
    std::string ignored;
    auto answered = co_await sasl_line(ignored, challenge);
    if (!answered) co_return;
  }
  co_await async::sleep_for(delay);
  // The same words whether the user exists or not.
  writer_.tagged(tag, "NO [AUTHENTICATIONFAILED] Authentication failed");
  user_.clear();
  backend_name_.clear();
  server_name_.clear();
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
