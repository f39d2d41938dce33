#include "session/shared_session.h"

#include "base/log_event.h"
#include "session/capability_list.h"
#include "session/refusal.h"
#include "session/upload.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::TaggedReply;
using mailbox::SharedMailbox;
using wire::Verb;

using base::log::Event;
using base::log::Level;
Event slow_event{Level::kWarn, "client reads too slowly"};
Event refused_event{Level::kInfo, "command refused", Event::Volume::kLimited};

constexpr size_t kMostHeld = 256 * 1024;
constexpr std::string_view kGone = "NO [UNAVAILABLE] The mail server has gone";

// Those that are pipelined: FETCH, STORE, SEARCH, SORT, THREAD.
bool is_about_messages(Verb verb) {
  switch (verb) {
    case Verb::kFetch:
    case Verb::kUidFetch:
    case Verb::kStore:
    case Verb::kUidStore:
    case Verb::kSearch:
    case Verb::kUidSearch:
    case Verb::kSort:
    case Verb::kUidSort:
    case Verb::kThread:
    case Verb::kUidThread:
      return true;
    default:
      return false;
  }
}

TaggedReply unavailable(std::string_view text) {
  TaggedReply reply;
  reply.code = "UNAVAILABLE";
  reply.text = text;
  return reply;
}

Verb verb_of(std::string_view text) {
  wire::TokenReader reader(text);
  const auto first = reader.atom().value_or("");
  const bool uid = base::equals_ignore_case(first, "UID");
  if (uid) reader.space();
  return wire::find_verb(uid ? reader.atom().value_or("") : first, uid);
}

}  // namespace

TaggedReply SharedSession::lost(std::string_view text) {
  return unavailable(changes_mail(verb_of(text)) ? "The mail server has gone, the outcome is unknown"
                                                 : "The mail server has gone");
}

TaggedReply SharedSession::as_reply(std::string_view refusal) {
  TaggedReply reply;
  const auto end = refusal.find(' ');
  const auto status = refusal.substr(0, end);
  if (status == "OK") reply.status = wire::ResponseName::kOk;
  if (status == "BAD") reply.status = wire::ResponseName::kBad;
  reply.text = refusal.substr(end + 1);
  if (reply.text.starts_with('[')) {
    const auto close = reply.text.find(']');
    reply.code = reply.text.substr(1, close - 1);
    reply.text.erase(0, close + 2);
  }
  return reply;
}

SharedSession::SharedSession(ClientSession& client, std::shared_ptr<mailbox::SharedAccount> account,
                             const auth::CredentialCache::Digest& credential)
    : client_(client),
      account_(std::move(account)),
      credential_(credential),
      again_(client.host().scheduler()) {
  account_->join(*this);
}

SharedSession::~SharedSession() = default;

std::string SharedSession::capabilities() const {
  return offered_capabilities(account_->capabilities(), account_->config());
}

Task<> SharedSession::serve() {
  Entry entry;
  for (;;) {
    auto more = co_await client_.next(entry);
    if (!more) break;
    if (done_at_once(entry)) continue;
    co_await execute(entry);
    if (client_.state() == State::kLogout) co_return;
  }
  co_await all_answered();
  co_await client_.wait_for_room();  // what a slow reader has not taken yet is his all the same
}

Task<> SharedSession::finish() {
  again_.cancel();
  co_await again_.join();
  detach();
  if (const auto paused = std::exchange(paused_, nullptr)) paused->resume();
  account_->leave_connections(*this);
  current_.reset();
  account_->leave(*this);
  co_return;
}

void SharedSession::detach() {
  if (!mailbox_) return;
  mailbox_->leave(*this);
  mailbox_.reset();
  told_ahead_.clear();
  client_.now_in("");
}

void SharedSession::leave_selected_state() {
  detach();
  vanished_ = false;
  client_.enter(State::kAuthenticated);
}

void SharedSession::on_client_drained() noexcept {
  if (client_.writer().backlogged()) return;
  if (const auto paused = std::exchange(paused_, nullptr)) paused->resume();
  if (idling) on_news();
}

// In this client's turn only. While nobody else wants the connection, the backend waits for the client; else
// the client's answers do, in a spool.
void SharedSession::hold_back_if_slow() {
  const auto& writer = client_.writer();
  // What waits for the end of a literal must not stop the literal.
  if (writer.unsent_ahead() <= net::Stream::kHighWatermark || writer.backlogged()) return;
  if (!current_ || current_->lost()) return;
  if (current_->others_wait()) {
    begin_backlog();
    return;
  }
  paused_ = current_;
  paused_->pause();
}

void SharedSession::on_others_wait() noexcept {
  if (!paused_) return;
  begin_backlog();
  std::exchange(paused_, nullptr)->resume();
}

void SharedSession::begin_backlog() {
  const auto tell = [this](const std::string& why) {
    client_.log(slow_event, {{"reason", why}});
    client_.end("reads too slowly: " + why);
  };
  client_.writer().begin_backlog(*client_.host().shared().spool, client_.config().limits.max_backlog, tell);
}

SharedSession::Refusal SharedSession::refusal(const wire::Command& command) const {
  const Standing standing{in_mailbox(), vanished_, in_mailbox() && (read_only || mailbox_->read_only())};
  return refusal_of(command, standing, account_->capabilities(), account_->config());
}

// The usual commands where nothing has to be waited for; execute() is for all.
bool SharedSession::done_at_once(const Entry& entry) {
  if (entry.kind != Entry::Kind::kCommand || !in_mailbox() || !mailbox_->attached()) return false;
  if (entry.command.verb == Verb::kNoop) {
    // One of many that were sent together. What changes the mailbox and goes out elsewhere (APPEND) asks
    // what is new before it is answered, so that nothing is missed.
    const bool polled = entry.told.view == view_id_ && mailbox_->polled_since(entry.told.polls);
    if (!polled || !in_flight_.empty() || !client_.has_room() || refusal(entry.command)) return false;
    answer(entry.command, "OK completed");
    return true;
  }
  const auto verb = entry.command.verb;
  if (verb == Verb::kFetch || verb == Verb::kUidFetch)
    return forwarded_at_once(entry);  // it checks for itself
  return is_about_messages(verb) && !refusal(entry.command) && forwarded_at_once(entry);
}

Task<> SharedSession::execute(Entry& entry) {
  const auto& command = entry.command;
  by_number_ = entry.by_number;
  if (auto problem = refusal(command)) {
    if (entry.kind == Entry::Kind::kUpload) co_await skip_upload(client_.reader(), entry.literal_waits);
    if (client_.reader().holding()) client_.reader().expect_commands();
    answer(command, *problem);
    co_return;
  }
  if (is_about_messages(command.verb)) {
    co_await forward(entry);
    co_return;
  }
  if (!in_flight_.empty()) co_await all_answered();
  if (!client_.has_room()) co_await client_.wait_for_room();
  if (client_.answer_locally(entry)) co_return;
  switch (command.verb) {
    case Verb::kNoop:
    case Verb::kCheck:
      if (in_mailbox())
        co_await mailbox_->poll(command.verb == Verb::kCheck ? SharedMailbox::Poll::kCheck
                                                             : SharedMailbox::Poll::kNoop);
      answer(command, "OK completed");
      break;
    case Verb::kEnable:
      client_.writer().untagged("ENABLED");
      answer(command, "OK nothing to enable");
      break;
    case Verb::kSelect:
    case Verb::kExamine:
      co_await select(entry);
      break;
    case Verb::kClose:
      co_await close(entry);
      break;
    case Verb::kUnselect:
      leave_selected_state();
      answer(command, "OK UNSELECT completed");
      break;
    case Verb::kStatus:
      co_await status(entry);
      break;
    case Verb::kAppend:
      co_await append(entry);
      break;
    case Verb::kCopy:
    case Verb::kUidCopy:
    case Verb::kMove:
    case Verb::kUidMove:
      co_await copy(entry);
      break;
    case Verb::kExpunge:
    case Verb::kUidExpunge:
      co_await expunge(entry);
      break;
    case Verb::kDelete:
    case Verb::kRename:
      co_await restructure(entry);
      break;
    case Verb::kIdle:
      co_await idle(entry);
      break;
    case Verb::kSubscribe:
    case Verb::kUnsubscribe:
    case Verb::kLsub:
      co_await subscriptions(entry);
      break;
    case Verb::kNamespace:
      co_await name_space(entry);
      break;
    default:
      co_await general(entry);
  }
}

Task<> SharedSession::all_answered() {
  while (!in_flight_.empty()) co_await progress_.wait();
}

Task<> SharedSession::general(const Entry& entry) {
  auto reply = co_await run_anywhere(entry.command.text, nullptr);
  answer(entry.command, reply);
}

// One at a time.
Task<> SharedSession::subscriptions(const Entry& entry) {
  while (account_->subscribing()) co_await account_->changes().wait();
  auto hold = std::make_shared<Hold>(account_);
  hold->subscribes = true;
  account_->set_subscribing(true);
  auto reply = co_await run_anywhere(entry.command.text, hold);
  answer(entry.command, reply);
}

Task<SharedSession::Refusal> SharedSession::ready(std::shared_ptr<SharedMailbox> open) {
  if (open->attached()) co_return std::nullopt;
  client_.waiting_for("mailbox " + open->key().mailbox);
  auto refusal = co_await open->ready(client_.nudges(), [this] { return client_.giving_up(); });
  client_.waiting_for("");
  co_return refusal;
}

Task<SharedSession::Turn> SharedSession::turn_in(std::shared_ptr<SharedMailbox> open) {
  for (;;) {
    auto refusal = co_await ready(open);
    if (refusal) co_return Turn{nullptr, refusal};
    auto connection = open->shared_connection();
    auto mine = co_await connection->turn(*this);
    if (!mine) {
      // Lost, or being closed: the mailbox hears of it in the same breath.
      if (open->attached() && open->shared_connection() == connection)
        co_return Turn{nullptr, std::string(kGone)};
      continue;
    }
    if (open->attached() && open->shared_connection() == connection) {
      open->worked();
      current_ = connection;
      co_return Turn{connection, {}};
    }
    connection->end(*this);
  }
}

// The mailbox may have come back read-only: UW takes STOREs then without keeping them.
Task<SharedSession::Turn> SharedSession::turn_to_write() {
  auto turn = co_await turn_in(mailbox_);
  if (!turn.connection || !mailbox_->read_only()) co_return turn;
  turn.connection->end(*this);
  co_return Turn{nullptr, std::string(kReadOnly)};
}

Task<SharedSession::Turn> SharedSession::turn_anywhere() {
  for (;;) {
    client_.waiting_for("a connection to " + account_->config().name);
    auto found = co_await account_->connection_for_command();
    client_.waiting_for("");
    if (!found.connection) co_return Turn{nullptr, found.problem};
    auto mine = co_await found.connection->turn(*this);
    if (mine) {
      current_ = found.connection;
      co_return Turn{found.connection, {}};
    }
    // It was closed meanwhile: there is another one, or a reason why not.
    if (account_->closing()) co_return Turn{nullptr, std::string(kGone)};
  }
}

Task<TaggedReply> SharedSession::run_anywhere(std::string text, std::shared_ptr<void> held) {
  auto reply = co_await run_where([this] { return turn_anywhere(); }, std::move(text), std::move(held));
  co_return reply;
}

Task<TaggedReply> SharedSession::run_in(std::shared_ptr<SharedMailbox> open, std::string text,
                                        std::shared_ptr<void> held) {
  auto reply = co_await run_where([this, open] { return turn_in(open); }, std::move(text), std::move(held));
  co_return reply;
}

// Again, once, if the connection was lost in the middle of what may be repeated. Until the tagged end its
// answers are held: the client has heard nothing of them then, unless they are many.
Task<TaggedReply> SharedSession::run_where(std::function<Task<Turn>()> turns, std::string text,
                                           std::shared_ptr<void> held) {
  for (bool again = false;; again = true) {
    auto turn = co_await turns();
    if (!turn.connection) co_return as_reply(*turn.refusal);
    if (found_) found_->clear();
    const bool repeatable = wire::info(verb_of(text)).repeatable;
    if (repeatable) client_.writer().hold_passed(kMostHeld);
    auto reply = co_await run_in_turn(turn.connection, text, held);
    if (reply) {
      client_.writer().release_passed();
      co_return std::move(*reply);
    }
    const bool untold = client_.writer().drop_passed();
    if (client_.writer().inside_response()) {
      break_off("[UNAVAILABLE] The mail server has gone in the middle of an answer");
      co_return lost(text);
    }
    if (again || !repeatable || !untold || client_.giving_up()) co_return lost(text);
    Meter::mine().retries.add();
  }
}

// Ends the turn. Nothing: the connection was lost.
Task<std::optional<TaggedReply>> SharedSession::run_in_turn(Connection connection, std::string text,
                                                            std::shared_ptr<void> held) {
  const mailbox::TurnEnd end(connection, *this);
  if (wire::write_command("t", text, connection->literal_form()).pieces.empty()) {
    TaggedReply malformed;
    malformed.status = wire::ResponseName::kBad;
    malformed.text = "The arguments are malformed";
    co_return malformed;
  }
  try {
    auto reply = co_await connection->run(*this, text, std::move(held));
    co_return reply;
  } catch (const net::ConnectionLost&) {
    co_return std::nullopt;
  }
}

// What a client was refused because of others, or for want of a backend.
void SharedSession::log_refusal(const wire::Command& command, std::string_view code, std::string_view text) {
  if (code != "INUSE" && code != "UNAVAILABLE") return;
  client_.log(refused_event, {{"command", wire::info(command.verb).name},
                              {"selected", in_mailbox() ? std::string_view(mailbox_->key().mailbox) : ""},
                              {"code", code},
                              {"reason", text},
                              {"took", client_.busy_for()}});
}

void SharedSession::answer(const wire::Command& command, std::string_view text) {
  if (text.starts_with("NO [")) {
    const auto reply = as_reply(text);
    log_refusal(command, reply.code, reply.text);
  }
  by_number_ = false;
  tell_before(command.verb);
  client_.writer().tagged(command.tag, text);
}

void SharedSession::answer(const wire::Command& command, const TaggedReply& reply) {
  log_refusal(command, reply.code, reply.text);
  by_number_ = false;
  tell_before(command.verb);
  client_.writer().tagged(command.tag, reply);
}

ToldCount SharedSession::told_count() const noexcept {
  return in_mailbox() ? ToldCount{view_id_, view.count(), mailbox_->polls_begun()} : ToldCount{};
}

// Commands that were sent before the answer to SELECT came mean the mailbox as it is told there.
uint32_t SharedSession::told_at(const Entry& entry) const {
  return entry.told.view == view_id_ ? entry.told.count : view.count();
}

// RFC 3501, 7.4.1; and what the client has sent in numbers must mean what it meant when it was sent.
bool SharedSession::numbers_open() const {
  if (by_number_ || client_.reader().numbers_ahead()) return true;
  // What is said now goes out behind what the client still has to read, and until then it may write numbers.
  if (client_.writer().inside_response() || client_.writer().backlogged()) return true;
  for (const auto& relayed : in_flight_)
    if (!wire::info(relayed.verb).may_expunge || (relayed.by_number && !relayed.sent)) return true;
  return false;
}

void SharedSession::tell_before(Verb finished) {
  tell(wire::info(finished).may_expunge && !numbers_open() ? Expunges::kTold : Expunges::kHeldBack);
}

void SharedSession::tell(Expunges expunges) {
  if (!in_mailbox() || !Viewer::linked()) return;
  auto& writer = client_.writer();
  if (expunges == Expunges::kTold && view.has_ghosts()) {
    view.tell_expunged(numbers_);
    for (const uint32_t number : numbers_) writer.untagged(std::to_string(number) + " EXPUNGE");
  }
  tell_access();
  tell_exists(mailbox_->table().known());
  if (const auto recent = std::min(mailbox_->recent(), view.count()); recent != recent_told) {
    recent_told = recent;
    writer.untagged(std::to_string(recent) + " RECENT");
  }
  tell_known_flags();
  tell_flags();
}

// Whether it can write, where that has changed.
void SharedSession::tell_access() {
  if (read_only || told_read_only == mailbox_->read_only()) return;
  told_read_only = mailbox_->read_only();
  if (told_read_only) {
    client_.writer().untagged("OK [READ-ONLY] The mail server lets it only be read now");
    return;
  }
  could_write = true;
  client_.writer().untagged("OK [READ-WRITE] The mailbox can be changed again");
  flags_told = mailbox_->flags_version() - 1;  // PERMANENTFLAGS were none
}

// FLAGS and PERMANENTFLAGS, before any FETCH that uses them.
void SharedSession::tell_known_flags() {
  if (flags_told == mailbox_->flags_version()) return;
  flags_told = mailbox_->flags_version();
  client_.writer().untagged("FLAGS " + mailbox_->flags());
  if (!read_only && !mailbox_->read_only() && !mailbox_->permanent_flags().empty())
    client_.writer().untagged("OK [PERMANENTFLAGS " + mailbox_->permanent_flags() + "] Flags permitted");
}

void SharedSession::tell_exists(uint32_t known) {
  if (const auto exists = view.tell_exists(known); exists != 0)
    client_.writer().untagged(std::to_string(exists) + " EXISTS");
}

// A client that hears of flags while its silent STORE is under way may take them for what came of it: then it
// is told that, too.
void SharedSession::told_flags_of(uint32_t uid) {
  for (auto& relayed : in_flight_)
    if (relayed.sent && relayed.silent) relayed.told_uids.push_back(uid);
}

void SharedSession::tell_flags() {
  const auto& table = mailbox_->table();
  if (view.mark() == table.changes()) return;
  table.changed_since(view.mark(), numbers_);
  for (const uint32_t number : numbers_) {
    const uint32_t mine = view.to_view(number);
    if (mine > view.count() || was_told_flags(number)) continue;
    client_.writer().untagged_flags(mine, 0, table.flags_text(number));
    told_flags_of(table.uid(number));
  }
  view.told_flags(table.changes());
  told_ahead_.clear();
}

}  // namespace imapmux::session
