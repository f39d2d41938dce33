// SharedAccount: further connections to the backend, with what it has accepted before.
#include <algorithm>
#include <functional>

#include "backend/open.h"
#include "base/log_event.h"
#include "mailbox/shared_account.h"
#include "mailbox/shared_accounts.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using backend::LoginVerdict;
using base::Millis;

using base::log::Event;
using base::log::Level;
Event opened_event{Level::kInfo, "backend connection opened"};
Event not_opened_event{Level::kWarn, "no further backend connection", Event::Volume::kLimited};
Event lowered_event{Level::kWarn, "backend takes no more connections", Event::Volume::kLimited};

constexpr Millis kLogoutLimit{2'000};
// Of different passwords and tokens of one user.
constexpr size_t kMostProven = 8;
constexpr Millis kLoweredFor{60'000};

}  // namespace

void SharedAccount::adopt(std::unique_ptr<backend::BackendConnection> connection, Account::Slot place,
                          auth::Credential credential, const auth::CredentialCache::Digest& digest) {
  // Where the master user reconnects, nobody's password is needed any more.
  if (config().master_user.empty()) {
    std::erase_if(proven_, [&](const Proven& one) { return one.digest == digest; });
    proven_.push_front({digest, std::move(credential)});
    if (proven_.size() > kMostProven) proven_.pop_back();
  }
  refused_since_.reset();
  if (kind_ == Kind::kPrivate) {
    session_place_ = std::move(place);
    place = Account::Slot(places_);
  }
  add(std::move(connection), std::move(place));
}

void SharedAccount::add(std::unique_ptr<backend::BackendConnection> connection, Account::Slot place) {
  capabilities_ = connection->capabilities();
  stay_ = connection->stay.another();
  SharedConnection::Owner& owner = *this;
  auto shared = std::make_shared<SharedConnection>(owner, std::move(connection), std::move(place));
  connections_.push_back(shared);
  shared->begin();
  if (const auto* server = shared->server()) accounts_.opened(server->limit);
  changed();
}

uint32_t SharedAccount::most_connections() const {
  const uint32_t most = kind_ == Kind::kPrivate ? 1 : config().connections_per_user;
  if (workplace_.scheduler().now() >= lowered_until_) return most;
  return most == 0 ? lowered_to_ : std::min(most, lowered_to_);
}

void SharedAccount::no_slot() {
  lowered_to_ = std::max<uint32_t>(1, static_cast<uint32_t>(connections_.size()));
  lowered_until_ = workplace_.scheduler().now() + kLoweredFor;
  lowered_event.write({{"backend", config().name}, {"user", login_name_}, {"connections", lowered_to_}});
}

bool SharedAccount::can_open() const {
  const bool has_credential = !proven_.empty() || !config().master_user.empty();
  const uint32_t most = most_connections();
  return !closing_ && !opening_ && has_credential && !is_for_room() &&
         back_off_.may_try(workplace_.scheduler().now()) && (most == 0 || places_->used() < most);
}

void SharedAccount::open_another() {
  opening_ = true;
  openings_under_way_.spawn(open(Account::Slot(places_)));
}

// In the account's scope: a login that has begun is finished, whoever has asked for it, unless the proxy
// stops.
Task<> SharedAccount::open(Account::Slot place) {
  const auto servers = servers_;  // a reload may replace them meanwhile
  std::string problem;
  for (auto& proven : proven_) proven.refused = false;
  for (bool again = true; again && !closing_;) {
    auto attempt = co_await attempt_to_open(servers);
    again = false;
    problem = std::move(attempt.problem);
    if (attempt.verdict == LoginVerdict::kAccepted) {
      servers->settled(login_name_, *attempt.connection->server);
      drop_refused();
      add(std::move(attempt.connection), std::move(place));
      opened_event.write(
          {{"backend", config().name}, {"user", login_name_}, {"connections", connections_.size()}});
      break;
    }
    if (attempt.connection) co_await attempt.connection->close(kLogoutLimit);
    // What was good for one connection is good for another: there is no room for it.
    const bool no_room = attempt.verdict == LoginVerdict::kNoSlot ||
                         (attempt.verdict == LoginVerdict::kRefused && !connections_.empty());
    if (no_room) {
      no_slot();
      if (!connections_.empty()) problem.clear();
    } else if (attempt.verdict == LoginVerdict::kRefused) {
      again = mark_refused(attempt.digest);
    }
  }
  if (problem.empty()) {
    back_off_.succeeded();
  } else {
    back_off_.failed(workplace_.scheduler().now(), std::hash<std::string>()(login_name_));
    not_opened_event.write({{"backend", servers->config().name}, {"user", login_name_}, {"reason", problem}});
  }
  opening_ = false;
  opening_problem_ = problem;
  ++openings_;
  changed();
}

// The first credential that was not refused just now; null: there is none.
const SharedAccount::Proven* SharedAccount::usable() const {
  const auto found =
      std::find_if(proven_.begin(), proven_.end(), [](const Proven& one) { return !one.refused; });
  return found == proven_.end() ? nullptr : &*found;
}

// A client that is here and logged in with this credential, else (the master user connects) any: a server
// that counts or bans by address gets that of somebody who has a part in it.
backend::MaybeOrigin SharedAccount::origin(const Proven* proven) const {
  backend::MaybeOrigin any;
  backend::MaybeOrigin own;
  members_.for_each([&](const Member& member) {
    if (own || (any && !proven)) return;
    auto origin = member.origin();
    if (proven && member.credential() == proven->digest) own = origin;
    if (!any) any = std::move(origin);
  });
  return own ? own : any;
}

Task<SharedAccount::Attempt> SharedAccount::attempt_to_open(
    std::shared_ptr<backend::BackendServers> servers) {
  const auto& backend = servers->config();
  Attempt attempt;
  try {
    auto for_whom = backend::tells_origin(backend) ? origin(usable()) : std::nullopt;
    attempt.connection = co_await workplace_.connect(servers, login_name_, std::move(for_whom));
    backend::LoginOutcome outcome;
    const auto* proven = usable();
    if (!backend.master_user.empty()) {
      outcome = co_await backend::log_in_as_master(*attempt.connection, backend, login_name_);
    } else if (proven) {
      attempt.digest = proven->digest;
      const auto credential = proven->credential.clone();
      outcome = co_await backend::log_in(*attempt.connection, backend, credential, login_name_);
    }
    workplace_.wipe_buffers();
    attempt.verdict = outcome.verdict;
    if (outcome.verdict != LoginVerdict::kAccepted) attempt.problem = "refused: " + outcome.reply.text;
  } catch (const backend::BackendUnavailable& error) {
    attempt.problem = error.what();
  } catch (const net::ConnectionLost& lost) {
    attempt.problem = lost.what();
  }
  co_return attempt;
}

// True: there is another one to try. If none is accepted it may be the server's fault (a restart, a directory
// that is down): only when that has lasted are the clients told.
bool SharedAccount::mark_refused(const auth::CredentialCache::Digest& digest) {
  bool another = false;
  for (auto& proven : proven_) {
    if (proven.digest == digest) proven.refused = true;
    another = another || !proven.refused;
  }
  if (another || proven_.empty()) return another;
  const auto now = workplace_.scheduler().now();
  if (!refused_since_) refused_since_ = now;
  if (now - *refused_since_ >= config().backend_wait) drop_refused();
  return false;
}

// RFC 3501, 7.1.5: BYE, for those who logged in with it only.
void SharedAccount::drop_refused() {
  refused_since_.reset();
  for (const auto& proven : proven_) {
    if (!proven.refused) continue;
    credentials_.refused(proven.digest, workplace_.scheduler().now());
    members_.for_each([&](Member& member) {
      if (member.credential() == proven.digest) member.on_credential_refused();
    });
  }
  std::erase_if(proven_, [](const Proven& one) { return one.refused; });
}

}  // namespace imapmux::mailbox
