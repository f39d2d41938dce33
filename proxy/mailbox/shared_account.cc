#include "mailbox/shared_account.h"

#include <algorithm>
#include <functional>

#include "backend/open.h"
#include "base/log.h"
#include "base/log_event.h"
#include "mailbox/shared_accounts.h"
#include "wire/mailbox_name.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using backend::LiteralStart;
using base::Millis;

base::log::Event lost_event{base::log::Level::kWarn, "backend connection lost",
                            base::log::Event::Volume::kLimited};

constexpr int kMostLosses = 3;
constexpr Millis kLogoutLimit{2'000};
// For a server that is still busy with what a vanished client had asked for: until it has closed, it may be
// in the mailbox.
constexpr Millis kBusyLimit{30'000};
constexpr Millis kLookAgain{100};
constexpr Millis kLookForTurn{1'000};  // to go back to the server where the user belongs
constexpr Millis kSpareAfter{1'000};
constexpr Millis kRestsAfter{500};
constexpr std::string_view kNoneFree = "NO [UNAVAILABLE] No connection to the mail server became free";
constexpr std::string_view kUnreachable = "NO [UNAVAILABLE] The mail server can't be reached";

// A party of one question, whose untagged answers it keeps.
class Question final : public Party {
 public:
  explicit Question(std::shared_ptr<SharedConnection> connection) : connection_(std::move(connection)) {}
  ~Question() { connection_->leave(*this); }
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  bool answered = false;
  char delimiter = 0;  // of LIST

 private:
  void on_untagged(const wire::Response& response, std::optional<LiteralStart>) noexcept override {
    if (response.name != wire::ResponseName::kList) return;
    wire::TokenReader reader(response.arguments);
    if (!reader.skip_value() || !reader.space()) return;
    answered = true;
    if (const auto text = reader.string(); text && text->size() == 1) delimiter = text->front();
  }
  void on_literal(std::string_view) noexcept override {}
  void on_text(std::string_view, std::optional<LiteralStart>) noexcept override {}
  bool on_fetch(const SharedMailbox&, const wire::Response&, std::optional<LiteralStart>) noexcept override {
    return false;
  }
  std::shared_ptr<SharedConnection> connection_;
};

class NotifyAtEnd {
 public:
  explicit NotifyAtEnd(async::WaitList& list) : list_(list) {}
  ~NotifyAtEnd() { list_.notify_all(); }
  NotifyAtEnd(const NotifyAtEnd&) = delete;
  NotifyAtEnd& operator=(const NotifyAtEnd&) = delete;

 private:
  async::WaitList& list_;
};

}  // namespace

SharedAccount::RoomWish::RoomWish(SharedAccount& account, Claim claim)
    : account_(account),
      claim_(claim),
      began_(account.workplace_.scheduler().now()),
      again_(account.workplace_.scheduler(), [this] { account_.make_room(); }) {
  account_.room_wish_ = this;
  account_.make_room();
}

SharedAccount::RoomWish::~RoomWish() {
  if (account_.room_wish_ == this) account_.room_wish_ = nullptr;
  account_.changed();
}

SharedAccount::SharedAccount(SharedAccounts& accounts, Workplace& workplace, std::shared_ptr<Account> places,
                             std::shared_ptr<backend::BackendServers> servers, std::string login_name,
                             Kind kind)
    : accounts_(accounts),
      workplace_(workplace),
      kind_(kind),
      id_(workplace.next_holder()),
      places_(std::move(places)),
      servers_(std::move(servers)),
      login_name_(std::move(login_name)),
      credentials_(config().credential_ttl),
      tasks_(workplace.scheduler()),
      openings_under_way_(workplace.scheduler()) {
  places_->watch(*this);
}

// They leave their connections, which is news for those who wait: for nobody, but the list must be there.
SharedAccount::~SharedAccount() {
  mailboxes_.clear();
}

bool SharedAccount::needed() const {
  if (!members_.empty()) return true;
  // A message that its client has sent whole.
  for (const auto& connection : connections_)
    if (connection->uploading()) return true;
  return std::any_of(mailboxes_.begin(), mailboxes_.end(),
                     [](const auto& entry) { return entry.second->in_use(); });
}

Millis SharedAccount::linger() const {
  return kind_ == Kind::kPrivate || winding_down_ || uses_drained() ? Millis(0) : config().account_linger;
}

bool SharedAccount::uses_drained() const {
  return std::any_of(connections_.begin(), connections_.end(), [](const auto& connection) {
    return connection->server() && connection->server()->draining;
  });
}

void SharedAccount::see_drained() {
  if (!needed() && uses_drained()) close_early();
}

Task<> SharedAccount::live() {
  while (!closing_) {
    if (needed()) {
      co_await alone_.wait();
      continue;
    }
    const auto until = workplace_.scheduler().now() + linger();
    lingering_ = true;
    const auto& scheduler = workplace_.scheduler();
    while (!closing_ && !winding_down_ && !needed() && scheduler.now() < until &&
           !servers_->bring_back(login_name_, scheduler.now())) {
      const auto left = std::chrono::duration_cast<Millis>(until - scheduler.now());
      co_await alone_.wait_for(servers_->is_displaced(login_name_) ? std::min(left, kLookForTurn) : left);
    }
    lingering_ = false;
    if (!needed()) break;
  }
  const Millis busy = closing_ ? kLogoutLimit : kBusyLimit;
  closing_ = true;
  // Whoever comes now gets an account of his own.
  for (const auto& [key, mailbox] : mailboxes_) mailbox->close();
  std::vector<HolderId> holders;
  holders.reserve(mailboxes_.size());
  for (const auto& [key, mailbox] : mailboxes_) holders.push_back(mailbox->holder());
  const auto all = connections_;
  for (const auto& connection : all) dismiss(connection, busy);
  co_await openings_under_way_.join();
  const auto late = connections_;
  for (const auto& connection : late) dismiss(connection, busy);
  co_await tasks_.join();
  // Only now is it certain that no mailbox is open.
  for (const auto holder : holders) workplace_.arbiter().release_all(holder);
  mailboxes_.clear();
  connections_.clear();
  lost_.clear();
  proven_.clear();
  session_place_ = Account::Slot();
}

void SharedAccount::close() {
  closing_ = true;
  openings_under_way_.cancel();
  tasks_.spawn(hurry());
  changed();
}

Task<> SharedAccount::hurry() {
  if (being_closed_.empty()) co_return;
  co_await async::sleep_for(kLogoutLimit);
  const auto all = being_closed_;
  for (const auto& connection : all) connection->abort("the proxy is shutting down");
}

void SharedAccount::close_early() {
  closing_ = true;
  changed();
}

void SharedAccount::wind_down() {
  winding_down_ = true;
  changed();
}

void SharedAccount::join(Member& member) {
  members_.push_back(member);
  ++member_count_;
  if (!stay_ && !connections_.empty()) stay_ = connections_.back()->backend().stay.another();
}

void SharedAccount::leave(Member& member) {
  member.unlink();
  --member_count_;
  if (members_.empty()) stay_ = {};
  changed();
}

void SharedAccount::use(std::shared_ptr<backend::BackendServers> servers) {
  servers_ = std::move(servers);
  winding_down_ = false;
  credentials_.set_ttl(config().credential_ttl);
  leave_removed_servers();
}

void SharedAccount::leave_removed_servers() {
  const auto& servers = servers_->servers();
  const auto all = connections_;
  for (const auto& connection : all) {
    const auto* server = connection->server();
    const bool is_listed = std::any_of(servers.begin(), servers.end(),
                                       [&](const auto& listed) { return listed.get() == server; });
    if (server && !is_listed && !connection->retiring()) retire(connection, std::make_shared<int>(0));
  }
}

void SharedAccount::dismiss(std::shared_ptr<SharedConnection> connection, Millis busy) {
  std::erase(connections_, connection);
  being_closed_.push_back(connection);
  tasks_.spawn(close_one(std::move(connection), busy));
}

Task<> SharedAccount::close_one(std::shared_ptr<SharedConnection> connection, Millis busy) {
  co_await connection->close(kLogoutLimit, busy);
  std::erase(being_closed_, connection);
  changed();
}

// The mailbox whose connection is missed least: one that nobody looks at, else the one idle longest.
std::shared_ptr<SharedMailbox> SharedAccount::idle_longest(Manner manner, const SharedMailbox* except) const {
  std::shared_ptr<SharedMailbox> best;
  for (const auto& [key, mailbox] : mailboxes_) {
    if (!mailbox->attached() || mailbox.get() == except || !mailbox->can_be_suspended()) continue;
    if (mailbox->connection().retiring()) continue;
    if (manner == Manner::kGentle && mailbox->in_use() && !mailbox->resting()) continue;
    if (!best ||
        std::pair(mailbox->in_use(), mailbox->last_used()) < std::pair(best->in_use(), best->last_used()))
      best = mailbox;
  }
  return best;
}

void SharedAccount::make_room() {
  if (!room_wish_) return;
  room_wish_->again_.start(kLookAgain);
  const uint32_t most = most_connections();
  if (most == 0 || places_->used() < most || !being_closed_.empty()) return;
  const auto now = workplace_.scheduler().now();
  const auto claim = room_wish_->claim_;
  for (const auto& connection : connections_) {
    if (!connection->free() || connection->attached()) continue;
    if (claim == Claim::kSpare && now - connection->last_used() < kSpareAfter) continue;
    dismiss(connection, kLogoutLimit);
    return;
  }
  if (claim == Claim::kSpare) return;
  // Who was asked is on its way: a second one need not give its connection for this.
  if (const auto asked = room_wish_->victim_.lock(); asked && asked->attached()) return;
  const bool insists = claim == Claim::kAny && now - room_wish_->began_ >= config().max_hold;
  const auto victim = idle_longest(insists ? Manner::kInsisting : Manner::kGentle, nullptr);
  room_wish_->victim_ = victim;
  if (victim) victim->give_connection();
}

bool SharedAccount::has_spare_place() const {
  const uint32_t most = most_connections();
  return (most == 0 || places_->used() < most) && wishes_.empty() && !opening_;
}

Task<> SharedAccount::wait_for_change(base::Instant deadline) {
  const auto now = workplace_.scheduler().now();
  auto left = std::chrono::ceil<Millis>(deadline - now);
  if (!back_off_.may_try(now)) left = std::min(left, back_off_.left(now));
  co_await changed_.wait_for(std::max(left, Millis(1)));
}

Task<SharedAccount::Found> SharedAccount::connection_for_command() {
  const auto deadline = workplace_.scheduler().now() + config().backend_wait;
  const uint64_t before = openings_;
  for (;;) {
    std::shared_ptr<SharedConnection> best;
    for (const auto& connection : connections_) {
      if (connection->lost() || connection->retiring()) continue;
      const auto rank = [](const SharedConnection& one) {
        return std::tuple(!one.available(), one.waiting(), one.attached());
      };
      if (!best || rank(*connection) < rank(*best)) best = connection;
    }
    // As few connections as will do: another one is opened only when all are busy.
    const bool may_open = can_open() && (!best || has_room());
    if (best && (best->available() || !(may_open || opening_))) co_return Found{best, {}};
    if (may_open && (!best || openings_ == before)) open_another();
    if (best && !opening_) co_return Found{best, {}};
    if (closing_ || workplace_.scheduler().now() >= deadline)
      co_return Found{best, best ? ""
                            : opening_problem_.empty()
                                ? "NO [UNAVAILABLE] The mail server takes no further connection"
                                : std::string(kUnreachable)};
    co_await wait_for_change(deadline);
  }
}

// Of those that only want to know what is new, the one that has not heard for the longest time is first.
bool SharedAccount::others_heard_less(const SharedMailbox& mailbox) const {
  return std::any_of(mailboxes_.begin(), mailboxes_.end(), [&](const auto& entry) {
    const auto& other = *entry.second;
    return &other != &mailbox && other.lacks_connection() && other.last_heard() < mailbox.last_heard();
  });
}

// Mailboxes get connections in the order in which they asked.
Task<SharedAccount::Found> SharedAccount::connection_for(SharedMailbox& mailbox, Manner manner,
                                                         std::function<bool()> give_up) {
  if (manner == Manner::kGentle && others_heard_less(mailbox))
    co_return Found{nullptr, std::string(kNoneFree)};
  const auto began = workplace_.scheduler().now();
  const auto deadline = began + config().backend_wait;
  const uint64_t before = openings_;
  Wish wish;
  wishes_.push_back(wish);
  // The next one's turn has come when this one has found something, or given up.
  const NotifyAtEnd next(changed_);
  std::shared_ptr<SharedMailbox> victim;
  const Found none{nullptr, std::string(kNoneFree)};
  for (;;) {
    if (&wishes_.front() == &wish) {
      std::shared_ptr<SharedConnection> unattached;
      for (const auto& connection : connections_)
        if (!connection->lost() && !connection->retiring() && !connection->attached() &&
            (!unattached || connection->free()))
          unattached = connection;
      if (unattached && !is_for_room()) co_return Found{unattached, {}};
      if (give_up()) {
        // Whoever was to make room need not.
        if (victim) victim->keep_connection();
        co_return none;
      }
      // Where the server is full (max_connections), rather another mailbox of the user's gives way than
      // another user.
      const bool room = has_room() || (manner == Manner::kInsisting && !idle_longest(manner, &mailbox));
      if (can_open() && room) open_another();
      const bool failed = openings_ > before && !opening_problem_.empty() && !opening_;
      const bool waited = workplace_.scheduler().now() >= began + config().backend_wait;
      if (failed && (waited || manner == Manner::kGentle))
        co_return Found{nullptr, std::string(kUnreachable)};
      if (!opening_) {
        // Who was asked is on its way: a second one need not give its connection for this.
        const bool one_gives = victim && victim->attached();
        const auto next_victim = one_gives ? victim : idle_longest(manner, &mailbox);
        if (next_victim) {
          victim = next_victim;
          victim->give_connection();
        } else if (manner == Manner::kGentle) {
          co_return none;
        } else {
          places_->want_place(this);
        }
      }
    } else if (manner == Manner::kGentle || give_up()) {
      co_return none;
    }
    if (closing_ || workplace_.scheduler().now() >= deadline) co_return none;
    const auto look_again = workplace_.scheduler().now() + std::max(config().min_hold, kLookAgain);
    co_await wait_for_change(std::min(deadline, look_again));
  }
}

void SharedAccount::leave_connections(Party& party) {
  const auto all = connections_;
  for (const auto& connection : all) connection->leave(party);
}

// Where a connection is lost on the way, another one is asked: no client's session ends for that.
Task<bool> SharedAccount::know_names() {
  for (int losses = 0; !naming_ && losses < kMostLosses; ++losses) {
    auto found = co_await connection_for_command();
    if (naming_) break;
    if (!found.connection) co_return false;
    Question question(found.connection);
    try {
      auto mine = co_await found.connection->turn(question);
      if (!mine) continue;
      // The turn lasts until the answer has come, also if nobody waits for it any more.
      const TurnEnd end(found.connection, question);
      auto reply = co_await found.connection->run(question, std::string("LIST \"\" \"\""));
      if (naming_) break;
      if (!reply.ok()) co_return false;
      delimiter_ = question.delimiter;
      naming_ = std::make_unique<MailboxNaming>(config(), login_name_, delimiter_);
    } catch (const net::ConnectionLost&) {
      continue;  // on_lost() has seen to it
    }
  }
  co_return naming_ != nullptr;
}

Task<> SharedAccount::keep(std::shared_ptr<SharedMailbox> mailbox) {
  co_await mailbox->keep();
  if (!closing_) workplace_.arbiter().release_all(mailbox->holder());
  const auto found = mailboxes_.find({mailbox->key().scope, mailbox->key().mailbox});
  if (found != mailboxes_.end() && found->second == mailbox && !closing_) mailboxes_.erase(found);
  changed();
}

std::shared_ptr<SharedMailbox> SharedAccount::mailbox(const MailboxKey& key, std::string_view name) {
  auto& entry = mailboxes_[{key.scope, key.mailbox}];
  if (!entry) {
    entry = std::make_shared<SharedMailbox>(*this, key, std::string(name));
    tasks_.spawn(keep(entry));
  }
  return entry;
}

std::shared_ptr<SharedMailbox> SharedAccount::find(const MailboxKey& key) const {
  const auto found = mailboxes_.find({key.scope, key.mailbox});
  return found == mailboxes_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<SharedMailbox>> SharedAccount::inferiors(const MailboxKey& key) const {
  std::vector<std::shared_ptr<SharedMailbox>> all;
  for (const auto& [other, mailbox] : mailboxes_)
    if (other.first == key.scope && wire::is_inferior(other.second, key.mailbox, delimiter_))
      all.push_back(mailbox);
  return all;
}

std::vector<std::shared_ptr<SharedMailbox>> SharedAccount::mailboxes() const {
  std::vector<std::shared_ptr<SharedMailbox>> all;
  for (const auto& [key, mailbox] : mailboxes_) all.push_back(mailbox);
  return all;
}

void SharedAccount::set_copying(bool copying) {
  copying_ = copying;
  changed();
}

void SharedAccount::set_subscribing(bool subscribing) {
  subscribing_ = subscribing;
  changed();
}

void SharedAccount::on_connection_lost(SharedConnection& connection, const std::string& reason) noexcept {
  if (!closing_) {
    const auto* server = connection.server();
    lost_event.write({{"backend", config().name},
                      {"server", server ? server->endpoint.to_string() : ""},
                      {"user", login_name_},
                      {"reason", reason}});
  }
  const auto found = std::find_if(connections_.begin(), connections_.end(),
                                  [&](const auto& one) { return one.get() == &connection; });
  if (found != connections_.end()) {
    lost_.push_back(std::move(*found));
    connections_.erase(found);
  }
  workplace_.scheduler().make_ready(*this);  // not from inside its own callback
  changed();
}

void SharedAccount::run() {
  for (const auto& connection : lost_) connection->give_up();
  lost_.clear();
  dismiss_retired();
  changed();
}

void SharedAccount::on_connection_free(SharedConnection& connection) noexcept {
  make_room();
  const auto* server = connection.server();
  if (server && server->limit->wants_room()) accounts_.make_room(server->limit);
  if (connection.retiring()) workplace_.scheduler().make_ready(*this);
  changed();
}

SharedMailbox* SharedAccount::mailbox_on(const SharedConnection& connection) const {
  for (const auto& [key, mailbox] : mailboxes_)
    if (mailbox->shared_connection().get() == &connection) return mailbox.get();
  return nullptr;
}

// Its mailbox, if there is one, lives on without it.
bool SharedAccount::can_spare(const SharedConnection& connection) const {
  const auto* mailbox = mailbox_on(connection);
  return !connection.lost() && !connection.retiring() && (!mailbox || mailbox->can_be_suspended());
}

std::shared_ptr<SharedConnection> SharedAccount::spare_connection(const backend::ConnectionLimit& limit,
                                                                  Spare kind) const {
  std::shared_ptr<SharedConnection> best;
  for (const auto& connection : connections_) {
    const auto* server = connection->server();
    if (!server || server->limit.get() != &limit || !can_spare(*connection)) continue;
    if (workplace_.scheduler().now() - connection->opened_at() < config().min_hold) continue;
    if (kind == Spare::kIdle && !connection->available()) continue;
    if (!best || connection->last_used() < best->last_used()) best = connection;
  }
  return best;
}

void SharedAccount::retire(const std::shared_ptr<SharedConnection>& connection,
                           std::shared_ptr<void> until_closed) {
  base::log::debug("backend {}: a connection of {} is closed for others", config().name, login_name_);
  connection->retire(std::move(until_closed));
  if (auto* mailbox = mailbox_on(*connection)) mailbox->give_connection();
  workplace_.scheduler().make_ready(*this);
}

// One at a time, and only what rests.
void SharedAccount::on_place_wanted() noexcept {
  std::shared_ptr<SharedConnection> best;
  for (const auto& connection : connections_) {
    if (connection->retiring()) return;
    if (!can_spare(*connection) || !connection->available()) continue;
    if (workplace_.scheduler().now() - connection->last_used() < kRestsAfter) continue;
    if (!best || connection->last_used() < best->last_used()) best = connection;
  }
  if (best) retire(best, std::make_shared<int>(0));
}

void SharedAccount::dismiss_retired() {
  const auto all = connections_;
  for (const auto& connection : all)
    if (connection->retiring() && connection->free() && !connection->attached())
      dismiss(connection, kLogoutLimit);
}

void SharedAccount::on_alert(std::string_view line) noexcept {
  members_.for_each([&](Member& member) { member.on_alert(line); });
}

}  // namespace imapmux::mailbox
