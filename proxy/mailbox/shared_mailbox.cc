#include "mailbox/shared_mailbox.h"

#include <algorithm>

#include "base/log.h"
#include "base/scoped_flag.h"
#include "mailbox/shared_account.h"
#include "mailbox/tell_all.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using base::Millis;

constexpr Millis kQuietBeforeIdle{500};
constexpr Millis kAfterRefusal{20};
constexpr Millis kLookAgain{100};
constexpr Millis kShortIdle{60'000};  // a server that ends IDLE sooner does not want it
constexpr Millis kNever{3'600'000};
constexpr uint32_t kFlagsAtOnce = 2'000;
constexpr int kTries = 20;

}  // namespace

SharedMailbox::SharedMailbox(SharedAccount& account, MailboxKey key, std::string name)
    : account_(account),
      key_(std::move(key)),
      name_(std::move(name)),
      holder_(account.workplace().next_holder()) {
  alone_since_ = last_visit_ = last_heard_ = quiet_since_ = now();
}

SharedMailbox::~SharedMailbox() {
  if (!connection_) return;
  connection_->attach(nullptr);
  connection_->leave(*this);
}

const config::Backend& SharedMailbox::config() const {
  return account_.config();
}

base::Instant SharedMailbox::now() const {
  return account_.workplace().scheduler().now();
}

base::Instant SharedMailbox::last_used() const {
  return connection_ ? connection_->last_used() : last_visit_;
}

bool SharedMailbox::resting() const {
  return attached_ && connection_->available() && now() - connection_->last_used() >= kQuietBeforeIdle;
}

Task<> SharedMailbox::keep() {
  see_who_is_here();
  while (!closing_ && (attached_ || in_use())) {
    try {
      co_await step();
    } catch (const net::ConnectionLost&) {
      continue;  // on_connection_lost() has seen to it
    }
  }
  closing_ = true;
  see_who_is_here();
  end_yielding();
  account_.workplace().suspects().closed(holder_);
  tell_openings("NO [UNAVAILABLE] The proxy is shutting down");
  tell_polls(polls_);
  tell_polls(asked_);
  tell_flags_asked();
  changed_.notify_all();
}

void SharedMailbox::close() {
  closing_ = true;
  wake_.notify_all();
  changed_.notify_all();
}

void SharedMailbox::give_connection() {
  connection_wanted_ = true;
  wake_.notify_all();
}

// One thing at a time, the most urgent first.
Task<> SharedMailbox::step() {
  if (poll_end_.under_way()) {
    co_await wake_.wait();
    co_return;
  }
  if (!attached_) {
    if (!set_aside() && wanted()) {
      co_await attach();
      // Whoever was refused has to hear of it before the next try.
      if (!attached_) co_await wake_.wait_for(opens_.empty() ? kLookAgain : kAfterRefusal);
      co_return;
    }
  } else if (!asked_.empty() && !contradicted_) {
    co_await look_after();  // the backend has told them something: they hear of it before it is let go
    co_return;
  } else if (must_let_go()) {
    co_await let_go();
    co_return;
  } else if (contradicted_ || (wants_writing() && !attached_for_writing())) {
    co_await attach();
    co_return;
  } else if (!table_.complete() || !polls_.empty() || !flags_asked_.empty() || !opens_.empty() ||
             poll_is_due() || flags_are_due() || without_flags() != 0) {
    co_await look_after();
    co_return;
  } else if (backend_should_idle()) {
    co_await idle_on_backend();
    co_return;
  }
  const base::ScopedFlag leisure(at_leisure_);
  co_await wake_.wait_for(until_next_step());
}

// Those who idle in it have waited in vain for a connection that others leave alone.
bool SharedMailbox::news_overdue() const {
  return anybody_idles() && now() - last_heard_ >= 2 * config().poll_interval;
}

// Whether a suspended mailbox is to be attached.
bool SharedMailbox::wanted() const {
  if (!opens_.empty() || !polls_.empty()) return true;
  return attached_ ||
         (anybody_idles() && now() - last_visit_ >= std::max(visit_pause_, config().poll_interval));
}

// Nobody would miss it: its clients have left, or are about to.
bool SharedMailbox::abandoned() const {
  return uses_ == 0 && viewers_.size() <= leaving_;
}

// Its lease keeps writers out, for nobody's sake any more: whoever is left reads, which goes beside them.
bool SharedMailbox::only_read() const {
  return attached_ && attached_for_writing() && !wants_writing() &&
         config().conflicts == config::Conflicts::kSingleWriter;
}

// It is open for somebody, or will be as soon as it can be had.
bool SharedMailbox::has_clients() const {
  bool any = !viewers_.empty();
  opens_.for_each([&](const Opening& opening) { any = any || opening.wanted != Wanted::kAttached; });
  return any && !closing_;
}

// Tells the arbiter. Where another holder waits for the lease, it is given back: now and then, or, with
// `yield_after: never`, once nobody would miss it.
void SharedMailbox::see_who_is_here() {
  auto& arbiter = account_.workplace().arbiter();
  const bool before = std::exchange(looked_at_, has_clients());
  if (looked_at_ && !before) arbiter.looked_at(account_.id(), key_);
  if (!looked_at_ && before) arbiter.looked_at_no_more(account_.id(), key_);
  if (closing_) return;
  if (abandoned() || (!uids_not_sticky_ && (config().yield_after || only_read()))) {
    begin_to_yield();
  } else {
    end_yielding();
  }
  if (abandoned() || only_read()) wake_.notify_all();
}

void SharedMailbox::begin_to_yield() {
  if (std::exchange(yields_, true)) return;
  auto& arbiter = account_.workplace().arbiter();
  arbiter.yields(holder_, [&workplace = account_.workplace(), weak = weak_from_this()] {
    workplace.post([weak] {
      if (const auto alive = weak.lock()) alive->lease_wanted();
    });
  });
  if (attached_ && arbiter.is_wanted(holder_)) lease_wanted();
}

void SharedMailbox::end_yielding() {
  if (!std::exchange(yields_, false)) return;
  account_.workplace().arbiter().yields_no_more(holder_);
  wanted_since_.reset();
}

void SharedMailbox::lease_wanted() {
  if (closing_ || !attached_) return;
  if (!wanted_since_) wanted_since_ = now();
  wake_.notify_all();
}

// When it is idle for long enough or was wanted for long enough, but not before it had its time.
base::Instant SharedMailbox::yields_at() const {
  if (abandoned() || only_read()) return now();
  const bool idle = connection_->free() && opens_.empty() && flags_asked_.empty();
  auto when = *wanted_since_ + config().max_hold;
  if (idle) when = std::min(when, last_work_ + config().yield_after.value_or(kNever));
  if (lightly_held_ > 0 || waits_for_writing()) when = now();
  return std::max(when, attached_since_ + config().min_hold);
}

bool SharedMailbox::may_yield() const {
  return attached_ && yields_ && wanted_since_ && (yielding_ || now() >= yields_at());
}

bool SharedMailbox::gives_connection() const {
  return connection_wanted_ || (connection_ && connection_->retiring());
}

bool SharedMailbox::may_let_go() const {
  return set_aside() || gives_connection() || may_yield() ||
         (!in_use() && polls_.empty() && now() - alone_since_ >= config().linger);
}

bool SharedMailbox::must_let_go() const {
  if (!may_let_go()) return false;
  if (set_aside() || !gives_connection() || may_yield()) return true;
  const bool busy = !opens_.empty() || !polls_.empty() || !flags_asked_.empty() || !connection_->free();
  return !busy || now() - attached_since_ >= config().min_hold;
}

bool SharedMailbox::poll_is_due() const {
  return writing_may_be_back() || (anybody_idles() && now() - last_visit_ >= config().poll_interval);
}

// UW gives a mailbox read-only while another process holds it: only SELECT tells when that is over. Asked for
// those who could write before, and for who selects it now.
bool SharedMailbox::writing_may_be_back() const {
  if (!read_only_ || !attached_for_writing() || now() - selected_at_ < config().poll_interval) return false;
  bool missed = false;
  viewers_.for_each([&](const Viewer& viewer) { missed = missed || viewer.could_write; });
  opens_.for_each([&](const Opening& opening) { missed = missed || opening.wanted == Wanted::kSelected; });
  return missed;
}

// The first message whose flags are still to be read; 0: none.
uint32_t SharedMailbox::without_flags() {
  const uint32_t number = table_.first_without_flags();
  return number != 0 && table_.uid(number) <= flags_unknowable_ ? 0 : number;
}

Millis SharedMailbox::until_next_step() const {
  auto next = now() + kNever;
  const auto at = [&](base::Instant when) { next = std::min(next, when); };
  if (anybody_idles()) at(last_visit_ + (attached_ ? Millis(0) : visit_pause_) + config().poll_interval);
  if (attached_) {
    if (gives_connection()) at(attached_since_ + config().min_hold);
    if (yields_ && wanted_since_) at(yields_at());
    if (!in_use()) at(alone_since_ + config().linger);
    if (flags_due_) at(*flags_due_);
    if (read_only_ && selected_at_ + config().poll_interval > now())
      at(selected_at_ + config().poll_interval);
    if (may_idle())
      at(connection_->free() ? connection_->last_used() + kQuietBeforeIdle : now() + kQuietBeforeIdle);
  }
  return std::max(Millis(10), std::chrono::ceil<Millis>(next - now()));
}

// What the backend is asked in the mailbox's own name, in one turn.
Task<> SharedMailbox::look_after() {
  const auto connection = connection_;
  auto mine = co_await connection->turn(*this);
  if (!mine) co_return;
  const TurnEnd end(connection, *this);
  if (connection != connection_ || !attached()) co_return;

  const bool for_writing = writing_may_be_back();
  // Who comes from here on has his own question asked: what he wants to know may happen meanwhile.
  base::IntrusiveList<Polling> polls;
  const TellAll told(polls, [](Polling& polling) { polling.answered(); });
  base::IntrusiveList<Opening> opens;
  auto kind = Poll::kNoop;
  polls_.for_each([&](Polling& polling) {
    if (polling.kind == Poll::kCheck) kind = Poll::kCheck;
    polls.push_back(polling);
  });
  const bool polled = !polls.empty();
  asked_.for_each([&](Polling& polling) { polls.push_back(polling); });
  opens_.for_each([&](Opening& opening) {
    if (opening.wanted != Wanted::kSelected || attached_for_writing()) opens.push_back(opening);
  });
  // Where the connection is lost in the middle, they wait for the next one.
  const TellAll undecided(opens, [this](Opening& opening) { opens_.push_back(opening); });
  if (polled || !opens.empty() || poll_is_due()) {
    ++polls_begun_;
    if (for_writing || (table_.exists() == 0 && kind == Poll::kNoop)) {
      // UW never tells of the first message of an INBOX that had no file when it was selected.
      bool open = true;
      auto refusal = co_await select_in_turn(connection, attached_kind_, open);
      if (refusal) contradiction("it can be selected no more: " + *refusal);
    } else {
      co_await connection->run(*this, std::string(kind == Poll::kCheck ? "CHECK" : "NOOP"));
    }
    heard();
  }
  co_await learn_what_is_new(connection);
  if (table_.complete()) polls_answered_ = polls_begun_;
  if (flags_are_due()) co_await read_flags_again(connection);
  if (polls.empty() && opens.empty()) co_await read_missing_flags(connection);
  if (attached()) opens.for_each([](Opening& opening) { opening.decide(std::nullopt); });
  tell_polls(polls);
  if (attached() && !flags_asked_.empty()) co_await read_flags_asked_for(connection);
}

// UIDs of what came in: no view hears of a message before.
Task<> SharedMailbox::learn_what_is_new(std::shared_ptr<SharedConnection> connection) {
  // Mail may come faster than it is asked for: then some is left for the next time. No progress is a
  // contradiction.
  for (int tries = 0, in_vain = 0; !table_.complete() && tries < kTries && in_vain < 2; ++tries) {
    const uint32_t known = table_.known();
    co_await connection->run(*this, "UID FETCH " + std::to_string(table_.last_uid() + 1) + ":* (UID FLAGS)");
    in_vain = table_.known() > known ? 0 : in_vain + 1;
    if (!table_.complete() && in_vain == 2) contradiction("new messages without UIDs");
  }
  changed_.notify_all();
}

// Of a huge mailbox, bit by bit behind its SELECT.
Task<> SharedMailbox::read_missing_flags(std::shared_ptr<SharedConnection> connection) {
  const uint32_t first = without_flags();
  if (first == 0) co_return;
  const uint32_t from = table_.uid(first);
  const uint32_t to = table_.uid(std::min(table_.known(), first + kFlagsAtOnce - 1));
  co_await connection->run(*this,
                           "UID FETCH " + std::to_string(from) + ":" + std::to_string(to) + " (UID FLAGS)");
  // A server that keeps some to itself is not asked for ever.
  if (without_flags() == first && table_.uid(first) == from) flags_unknowable_ = to;
}

bool SharedMailbox::may_idle() const {
  return !idle_refused_ && anybody_idles() && connection_->capabilities().has("IDLE");
}

bool SharedMailbox::backend_should_idle() const {
  return may_idle() && connection_->free() && now() - connection_->last_used() >= kQuietBeforeIdle;
}

bool SharedMailbox::idle_goes_on() const {
  return attached() && !closing_ && anybody_idles() && !connection_->others_wait() && opens_.empty() &&
         polls_.empty() && flags_asked_.empty() && table_.complete() && !must_let_go() && !poll_is_due() &&
         !flags_are_due();
}

namespace {

// The tagged end of an IDLE.
class IdleEnd final : public backend::Completion {
 public:
  IdleEnd(SharedConnection& connection, async::WaitList& wake) : connection_(connection), wake_(wake) {}
  ~IdleEnd() { connection_.forget(*this); }
  IdleEnd(const IdleEnd&) = delete;
  IdleEnd& operator=(const IdleEnd&) = delete;
  async::Event done;

 private:
  void on_tagged(const wire::Response&) noexcept override {
    done.set();
    wake_.notify_all();
  }
  void on_lost(const std::string&) noexcept override { done.set(); }
  SharedConnection& connection_;
  async::WaitList& wake_;
};

class Resting {
 public:
  explicit Resting(SharedConnection& connection) : connection_(connection) { connection_.rest(true); }
  ~Resting() { connection_.rest(false); }
  Resting(const Resting&) = delete;
  Resting& operator=(const Resting&) = delete;

 private:
  SharedConnection& connection_;
};

}  // namespace

// RFC 2177. DONE goes out behind "+" only, and the next command behind the tagged end.
Task<> SharedMailbox::idle_on_backend() {
  const auto connection = connection_;
  if (!connection->try_turn(*this)) co_return;
  const TurnEnd end(connection, *this);
  auto& backend = connection->backend();
  const auto tag = connection->next_tag();
  IdleEnd ended(*connection, wake_);
  backend.command_begun();
  connection->send(*this, tag, {tag + " IDLE\r\n"}, ended);
  auto go = co_await backend.continuation(tag);
  backend.command_completed();
  if (go == backend::BackendConnection::Go::kAnswered) {
    idle_refused_ = true;
    co_return;
  }
  backend.expect_silence();
  const auto began = now();
  {
    const Resting resting(*connection);
    while (idle_goes_on() && !ended.done.is_set()) co_await wake_.wait_for(until_next_step());
  }
  if (closing_) co_return;    // the connection is being closed, DONE included
  if (ended.done.is_set()) {  // by the server: DONE would be no command
    backend.expect_answers();
    idle_refused_ = now() - began < kShortIdle;
    co_return;
  }
  backend.send_more("DONE\r\n");
  backend.expect_answers();
  co_await ended.done.wait();
}

Task<Refusal> SharedMailbox::open(LeaseKind kind, async::WaitList& nudges, std::function<bool()> give_up) {
  const auto wanted = kind == LeaseKind::kSelect ? Wanted::kSelected : Wanted::kExamined;
  auto refusal = co_await wait_for(wanted, nudges, std::move(give_up));
  if (refusal) co_return refusal;
  const bool open = attached() && (wanted != Wanted::kSelected || attached_for_writing());
  if (!open) co_return "NO [UNAVAILABLE] The mail server has gone";
  co_return std::nullopt;
}

Task<Refusal> SharedMailbox::ready(async::WaitList& nudges, std::function<bool()> give_up) {
  while (!attached()) {
    auto refusal = co_await wait_for(Wanted::kAttached, nudges, give_up);
    if (refusal) co_return refusal;
  }
  co_return std::nullopt;
}

Task<Refusal> SharedMailbox::wait_for(Wanted wanted, async::WaitList& nudges, std::function<bool()> give_up) {
  if (closing_) co_return "NO [UNAVAILABLE] The proxy is shutting down";
  const auto began = now();
  const auto deadline = began + config().lease_wait;
  const Use use(shared_from_this());
  Opening opening(wanted, nudges);
  opens_.push_back(opening);
  see_who_is_here();
  wake_.notify_all();
  // Who has finished sending and only reads (a script behind nc) is not waited for long, but not refused what
  // is there for the asking either.
  while (!opening.decided && (!give_up() || (!closing_ && now() - began < kPatienceOfPolls))) {
    const auto left = std::chrono::duration_cast<Millis>(deadline - now());
    // Once it has a lease, it is on its way, or is told why not.
    if (left.count() <= 0 && !leased_) break;
    co_await nudges.wait_for(give_up() ? kLookAgain : std::max(left, Millis(100)));
  }
  wake_.notify_all();
  if (!opening.decided) co_return "NO [INUSE] Mailbox is in use";
  co_return opening.refusal;
}

void SharedMailbox::used() {
  --uses_;
  see_who_is_here();
  if (uses_ > 0) return;
  if (viewers_.empty()) alone_since_ = now();
  wake_.notify_all();
  account_.changed();
}

void SharedMailbox::visit_soon() {
  last_visit_ = now() - std::max(visit_pause_, config().poll_interval);
  wake_.notify_all();
}

void SharedMailbox::join(Viewer& viewer) {
  viewers_.add(viewer);
  see_who_is_here();
  viewer.view = MailboxView();
  viewer.view.tell_exists(table_.known());
  viewer.view.told_flags(table_.changes());
  viewer.recent_told = recent();
  viewer.flags_told = flags_version_;
}

void SharedMailbox::leave(Viewer& viewer) {
  if (!viewer.linked()) return;
  viewers_.remove(viewer);
  see_who_is_here();
  if (viewers_.empty()) alone_since_ = now();
  wake_.notify_all();
  account_.changed();
}

void SharedMailbox::begin_idle(Viewer& viewer) {
  viewers_.begin_idle(viewer);
  wake_.notify_all();
}

void SharedMailbox::end_idle(Viewer& viewer) {
  viewers_.end_idle(viewer);
  wake_.notify_all();
}

bool SharedMailbox::alone(const Viewer& viewer) const {
  return viewers_.size() == (viewer.linked() ? 1 : 0);
}

Task<> SharedMailbox::complete() {
  while (attached() && !table_.complete()) {
    wake_.notify_all();
    co_await changed_.wait();
  }
}

SharedMailbox::Source::~Source() {
  --of_->copies_;
  of_->wake_.notify_all();
  of_->changed_.notify_all();
}

SharedMailbox::Block::Block(std::shared_ptr<SharedMailbox> of) : of_(std::move(of)) {
  ++of_->blocks_;
  of_->wake_.notify_all();
}

SharedMailbox::Block::~Block() {
  if (!of_) return;
  --of_->blocks_;
  of_->wake_.notify_all();
}

Task<> SharedMailbox::Block::suspended() {
  while ((of_->connection_ || of_->copies_ > 0) && !of_->closing_) co_await of_->changed_.wait();
}

void SharedMailbox::saw_uid(uint32_t uid) {
  uid_next_ = std::max(uid_next_, uid + 1);
}

uint32_t SharedMailbox::first_unseen() const {
  for (uint32_t number = 1; number <= table_.known(); ++number) {
    if (!table_.knows_flags(number)) return 0;
    if (!table_.flags(number).seen()) return number;
  }
  return 0;
}

void SharedMailbox::news() {
  account_.workplace().scheduler().make_ready(*this);
}

void SharedMailbox::run() {
  if (attached_ && !table_.complete()) wake_.notify_all();
  viewers_.for_each([](Viewer& viewer) {
    if (viewer.idling) viewer.on_news();
  });
}

}  // namespace imapmux::mailbox
