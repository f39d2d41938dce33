// SharedMailbox: from suspended to attached and back.
#include <algorithm>

#include "base/log.h"
#include "base/log_event.h"
#include "base/scoped_flag.h"
#include "mailbox/meter.h"
#include "mailbox/shared_account.h"
#include "mailbox/shared_mailbox.h"
#include "wire/fetch_attributes.h"
#include "wire/number_lists.h"
#include "wire/writer.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using base::Millis;
using base::ScopedFlag;

using base::log::Event;
using base::log::Level;
Event suspect_event{Level::kWarn,
                    "two mailboxes look like one and the same; if they are, name them in mailbox_aliases or "
                    "shared_namespaces"};
Event resynchronised_event{Level::kWarn, "mailbox is not what it was, it is read anew"};
Event contradiction_event{Level::kWarn, "the server contradicts itself", Event::Volume::kLimited};

constexpr int kTries = 20;
constexpr int kMostLostAttaches = 3;
// Whoever waits for the mailbox has a limit of his own.
constexpr Millis kAsLongAsAnybodyWaits{24 * 3'600'000};
constexpr Millis kGentleWait{1'000};

// A name that nobody has: selecting it fails with NO, which deselects (RFC 3501, 6.3.1) without expunging.
constexpr std::string_view kNobodysMailbox = "imapmux-8f1d2c7b-no-such-mailbox";
constexpr std::string_view kGone = "NO [UNAVAILABLE] The mail server has gone";

}  // namespace

bool SharedMailbox::wants_writing() const {
  bool writing = viewers_.any_writes();
  opens_.for_each([&](const Opening& opening) { writing = writing || opening.wanted == Wanted::kSelected; });
  return writing;
}

void SharedMailbox::tell_openings(const Refusal& refusal) {
  opens_.for_each([&](Opening& opening) { opening.decide(refusal); });
}

// That it can't be selected for writing is the matter of those who want to write: the others are served by
// EXAMINE.
void SharedMailbox::tell_refused(LeaseKind kind, const Refusal& refusal) {
  const bool writers_stay = viewers_.any_writes();
  opens_.for_each([&](Opening& opening) {
    const bool others = kind == LeaseKind::kSelect && opening.wanted != Wanted::kSelected && !writers_stay;
    if (!others) opening.decide(refusal);
  });
}

// Who came meanwhile may need more than what was asked for, and wants to know what has come in until then:
// step() sees to him.
void SharedMailbox::tell_openings_it_is_open() {
  opens_.for_each([&](Opening& opening) {
    const bool as_wanted = opening.wanted != Wanted::kSelected || attached_for_writing();
    const bool in_time = opening.wanted == Wanted::kAttached || opening.before_select;
    if (as_wanted && in_time) opening.decide(std::nullopt);
  });
}

void SharedMailbox::tell_polls(base::IntrusiveList<Polling>& polls) {
  polls.for_each([](Polling& polling) { polling.answered(); });
}

// Everything that selects the mailbox: for the first time, again, or for writing.
Task<> SharedMailbox::attach() {
  const ScopedFlag under_way(attach_under_way_);
  const bool insisting = !opens_.empty();
  const auto kind = wants_writing() ? LeaseKind::kSelect : LeaseKind::kExamine;
  Refusal refusal;
  gave_up_ = leased_ = false;
  if (attached_) flags_are_old(Flags::kAtOnce);  // what the server was about to tell it tells no more
  try {
    refusal = co_await take_place(kind);
    if (!refusal) {
      refusal = co_await select(kind);
    } else if (attached_) {
      co_await deselect_in_turn();  // a failed upgrade: what was examined is so no more
    }
  } catch (const net::ConnectionLost&) {
    refusal = kGone;
  }
  const bool lost = refusal == kGone;
  last_visit_ = now();
  // The account closes the connection, on which it may be open: the lease goes back when that is done.
  if (refusal && closing_ && connection_) co_return;
  if (refusal) {
    suspended(Flags::kAtOnce);
    lost_attaches_ = lost ? lost_attaches_ + 1 : 0;
    // Who came or stays while it gave up has another try coming, and so has who lost the connection.
    const bool another = gave_up_ || (lost && lost_attaches_ < kMostLostAttaches);
    if (insisting && !another) tell_refused(kind, refusal);
  } else {
    attached_ = true;
    lost_attaches_ = 0;
    attached_since_ = quiet_since_ = last_work_ = last_heard_ = now();
    see_who_is_here();
    // Somebody may have begun to wait since the lease was granted.
    if (yields_ && account_.workplace().arbiter().is_wanted(holder_)) wanted_since_ = now();
    account_.workplace().arbiter().settle(holder_, key_, kind);
    look_for_aliases();
    tell_openings_it_is_open();
  }
  changed_.notify_all();
  account_.changed();
  news();
}

// Two that are open under different names, and look alike.
void SharedMailbox::look_for_aliases() {
  const MailboxIdentity identity{uid_validity_, uid_next_, table_.known()};
  const auto suspect = account_.workplace().suspects().opened(holder_, config().name, key_, identity);
  if (suspect)
    suspect_event.write({{"backend", config().name}, {"mailbox", key_.mailbox}, {"other", suspect->mailbox}});
}

// The lease, then a connection (the order in which nobody holds what another one waits for).
Task<Refusal> SharedMailbox::take_place(LeaseKind kind) {
  const bool insisting = !opens_.empty();
  LeaseWish wish{holder_, {{key_, kind}}, rule_of(config().conflicts)};
  // It holds the lease already where a COPY from it got both of its mailboxes at once.
  wish.place = MailboxArbiter::Ticket::Place::kAsHolder;
  if (!insisting) wish.manner = MailboxArbiter::Ticket::Manner::kGentle;
  const auto give_up = [this, kind] {
    const bool as_wanted = wanted() && (kind != LeaseKind::kSelect || wants_writing());
    gave_up_ = closing_ || set_aside() || !as_wanted || may_yield();
    return gave_up_;
  };
  auto refusal = co_await take_leases(account_.workplace(), std::move(wish),
                                      insisting ? kAsLongAsAnybodyWaits : kGentleWait, wake_, give_up);
  lacks_connection_ = false;
  if (refusal) co_return refusal;
  leased_ = true;
  if (connection_) co_return std::nullopt;
  const auto manner =
      insisting || news_overdue() ? SharedAccount::Manner::kInsisting : SharedAccount::Manner::kGentle;
  const auto leased = now();
  auto found = co_await account_.connection_for(*this, manner, [this, leased] {
    // A lease that finds no connection is not kept from others who wait for it.
    const bool in_vain = now() - leased >= config().min_hold && is_wanted_elsewhere();
    gave_up_ = closing_ || set_aside() || !wanted() || in_vain;
    return gave_up_;
  });
  lacks_connection_ = !found.connection;
  if (!found.connection) co_return found.problem;
  connection_ = std::move(found.connection);
  connection_->attach(this);
  co_return std::nullopt;
}

bool SharedMailbox::is_wanted_elsewhere() const {
  return yields_ && account_.workplace().arbiter().is_wanted(holder_);
}

// In a turn of its own. Nothing: what the backend has is in the table now, and the views know the difference.
Task<Refusal> SharedMailbox::select(LeaseKind kind) {
  const auto connection = connection_;
  auto mine = co_await connection->turn(*this);
  if (!mine || connection != connection_) co_return std::string(kGone);
  const TurnEnd end(connection, *this);
  opens_.for_each([](Opening& opening) { opening.before_select = true; });
  bool open = attached_;  // on the backend
  auto refusal = co_await select_in_turn(connection, kind, open);
  if (refusal && open) {
    const ScopedFlag deselecting(deselecting_);
    co_await deselect(connection);
  }
  // A BYE may have come in one piece with the last answer.
  if (connection != connection_) co_return std::string(kGone);
  co_return refusal;
}

// By the equal and growth paths where they hold, else by the full one. `open` becomes whether the backend has
// it selected now, whatever comes of it.
Task<Refusal> SharedMailbox::select_in_turn(std::shared_ptr<SharedConnection> connection, LeaseKind kind,
                                            bool& open) {
  const ScopedFlag attaching(attaching_);
  auto& meter = Meter::mine();
  const bool known = !viewers_.empty();
  for (bool again = contradicted_;; again = true) {
    fresh_ = MessageTable();
    heard_validity_ = heard_next_ = 0;
    contradicted_ = heard_expunge_ = false;
    std::string text = kind == LeaseKind::kSelect ? "SELECT " : "EXAMINE ";
    wire::write_string(text, name_);
    auto reply = co_await connection->run(*this, std::move(text));
    // RFC 3501, 6.3.1: NO deselects what was selected before, BAD does nothing.
    if (reply.status != wire::ResponseName::kBad) open = reply.ok();
    if (!reply.ok()) co_return backend::to_text(reply);
    attached_kind_ = kind;
    selected_at_ = now();
    read_only_ = reply.code == "READ-ONLY";
    if (!again && may_catch_up()) {
      auto caught_up = co_await catch_up(connection);
      if (caught_up) {
        if (known) meter.caught_up.add();
        break;
      }
    }
    auto refusal = co_await read_messages(connection);
    if (refusal) co_return refusal;
    // GNU imap4d gives an empty mailbox a new one each time: who knows of no message can't mistake one.
    bool nothing_told = table_.exists() == 0;
    viewers_.for_each([&](const Viewer& one) { nothing_told = nothing_told && one.view.count() == 0; });
    const bool same = viewers_.empty() || nothing_told || uid_validity_ == heard_validity_;
    if (nothing_told) uid_validity_ = heard_validity_;
    if (same && !contradicted_ && adopt(fresh_)) {
      if (known) meter.read_again.add();
      break;
    }
    resynchronised_event.write({{"backend", config().name},
                                {"user", account_.login_name()},
                                {"mailbox", key_.mailbox},
                                {"again", again},
                                {"clients_disconnected", !same || again}});
    if (same && !again) continue;
    if (known) meter.began_anew.add();
    viewers_.for_each([this](Viewer& viewer) {
      viewers_.remove(viewer);
      viewer.on_mailbox_changed_identity();
    });
    alone_since_ = now();
    see_who_is_here();
    begin_anew(fresh_);
    break;
  }
  contradicted_ = false;
  fresh_ = MessageTable();
  news();
  co_return std::nullopt;
}

void SharedMailbox::begin_anew(MessageTable& fresh) {
  table_ = std::move(fresh);
  const bool same = uid_validity_ == heard_validity_;
  uid_next_ = std::max({same ? uid_next_ : 0, heard_next_, table_.last_uid() + 1});  // it never goes back
  uid_validity_ = heard_validity_;
  read_up_to_ = std::max(heard_next_, table_.last_uid() + 1);
  flags_due_.reset();
}

Task<Refusal> SharedMailbox::read_messages(std::shared_ptr<SharedConnection> connection) {
  for (int tries = 0; !fresh_.complete() && tries < kTries; ++tries) {
    std::string text = "UID FETCH " + std::to_string(fresh_.last_uid() + 1) + ":* (UID FLAGS)";
    std::vector<uint32_t> uids;
    const bool uids_first = tries == 0 && fresh_.exists() > kFewMessages;
    if (uids_first) {
      text = "UID SEARCH ALL";
      uids.reserve(fresh_.exists());
      searched_ = &uids;
    }
    auto reply = co_await ask(connection, std::move(text));
    if (!reply.ok()) co_return "NO [UNAVAILABLE] The mail server does not tell what is in the mailbox";
    if (!uids_first) continue;
    std::sort(uids.begin(), uids.end());
    if (uids.size() != fresh_.exists()) continue;  // it changes meanwhile: the long way
    for (uint32_t i = 0; i < uids.size(); ++i)
      if (!fresh_.learn_uid(i + 1, uids[i])) contradiction("UIDs that do not ascend");
  }
  if (!fresh_.complete()) co_return "NO [UNAVAILABLE] The mail server contradicts itself";
  co_return std::nullopt;
}

// An inner SEARCH's results go nowhere once it has ended, however it ends.
Task<backend::TaggedReply> SharedMailbox::ask(std::shared_ptr<SharedConnection> connection,
                                              std::string text) {
  struct Deaf {
    ~Deaf() { ears = nullptr; }
    std::vector<uint32_t>*& ears;
  };
  const Deaf deaf{searched_};
  auto reply = co_await connection->run(*this, std::move(text));
  co_return reply;
}

bool SharedMailbox::expunge(uint32_t number) {
  viewers_.for_each([&](Viewer& viewer) { viewer.view.on_expunge(number); });
  return table_.expunge(number);
}

// The UID of the last of several new messages may be known before those of the others: "*" showed it, and a
// view was told of all of them. Between two known messages nothing comes in (RFC 3501, 2.3.1.1), so what is
// there now are these others. False: it contradicts the table.
bool SharedMailbox::learn_uids_between(const MessageTable& fresh) {
  for (uint32_t last = table_.known(); last < table_.exists(); last = std::max(last, table_.known())) {
    ++last;
    if (table_.uid(last) == 0) continue;
    const uint32_t below = table_.uid(last);
    while (table_.last_uid() < below) {
      const uint32_t unknown = table_.known() + 1;
      const uint32_t next = fresh.first_from(table_.last_uid() + 1);
      const bool between = next <= fresh.known() && fresh.uid(next) < below;
      if (between ? !table_.learn_uid(unknown, fresh.uid(next)) : !expunge(unknown)) return false;
      if (!between) --last;
    }
  }
  return true;
}

// The full path: whatever the difference is, it becomes EXPUNGE, EXISTS and changes of flags. False: there is
// no such difference, a view can't come from there to here.
bool SharedMailbox::adopt(MessageTable& fresh) {
  if (viewers_.empty()) {
    begin_anew(fresh);
    return true;
  }
  if (!learn_uids_between(fresh)) return false;
  for (uint32_t number = table_.exists(); number > 0; --number) {
    const uint32_t uid = table_.uid(number);
    if (uid == 0 || fresh.number_of(uid) == 0) expunge(number);
  }
  for (uint32_t number = 1; number <= table_.exists(); ++number)
    if (table_.uid(number) != fresh.uid(number)) return false;  // a message came between two others
  table_.grow_to(fresh.exists());
  for (uint32_t number = 1; number <= fresh.exists(); ++number) {
    table_.learn_uid(number, fresh.uid(number));
    if (fresh.knows_flags(number)) table_.learn_flags(number, fresh.flags_text(number));
  }
  uid_next_ = std::max({uid_next_, heard_next_, table_.last_uid() + 1});
  read_up_to_ = std::max(heard_next_, table_.last_uid() + 1);
  if (fresh.first_without_flags() == 0) flags_due_.reset();
  return true;
}

Task<> SharedMailbox::let_go() {
  const auto connection = connection_;
  // Whoever waited for the lease may have given up meanwhile.
  if (wanted_since_ && !account_.workplace().arbiter().is_wanted(holder_)) wanted_since_.reset();
  yielding_ = may_yield();  // from here on it is not idle any more
  if (!may_let_go()) co_return;
  auto mine = co_await connection->turn(*this);
  if (!mine) co_return;
  const TurnEnd end(connection, *this);
  if (connection != connection_ || !may_let_go()) co_return;
  {
    const ScopedFlag deselecting(deselecting_);
    co_await deselect(connection);
  }
  // For another mailbox of the account, no more: nobody was let in meanwhile.
  const bool for_its_connection = gives_connection() && !yielding_ && !set_aside();
  if (connection == connection_) suspended(for_its_connection ? Flags::kSoon : Flags::kAtOnce);
}

Task<> SharedMailbox::deselect_in_turn() {
  const auto connection = connection_;
  auto mine = co_await connection->turn(*this);
  if (!mine) co_return;
  const TurnEnd end(connection, *this);
  if (connection != connection_) co_return;
  const ScopedFlag deselecting(deselecting_);
  co_await deselect(connection);
}

// Without expunging, whatever the server can: never CLOSE in read-write state.
Task<> SharedMailbox::deselect(std::shared_ptr<SharedConnection> connection) {
  if (connection->capabilities().has("UNSELECT")) {
    auto reply = co_await connection->run(*this, std::string("UNSELECT"));
    if (reply.ok()) co_return;
  }
  if (attached_for_writing()) {
    auto reply = co_await connection->run(*this, "SELECT " + std::string(kNobodysMailbox));
    if (reply.status == wire::ResponseName::kNo) co_return;
    // BAD does not deselect, and OK would be a surprise: the long way.
    std::string text = "EXAMINE ";
    wire::write_string(text, name_);
    auto examined = co_await connection->run(*this, std::move(text));
    if (examined.status == wire::ResponseName::kNo) co_return;  // that deselects too
    if (!examined.ok()) {
      connection->abort("the mailbox can't be closed without expunging");
      co_return;
    }
  }
  co_await connection->run(*this, std::string("CLOSE"));
}

// However it came to that: no connection, no lease.
void SharedMailbox::suspended(Flags flags) {
  flags_are_old(flags);
  attached_ = leased_ = false;
  wanted_since_.reset();
  yielding_ = false;
  connection_wanted_ = false;
  contradicted_ = false;
  if (const auto connection = std::exchange(connection_, nullptr)) connection->attach(nullptr);
  account_.workplace().suspects().closed(holder_);
  account_.workplace().arbiter().release(holder_, key_);
  polls_.for_each([](Polling& polling) {
    if (!polling.has_limit) polling.answered();
  });
  tell_polls(asked_);
  tell_flags_asked();
  last_visit_ = now();
  changed_.notify_all();
  account_.changed();
}

void SharedMailbox::contradiction(std::string_view what) {
  if (!contradicted_) {
    Meter::mine().contradictions.add();
    contradiction_event.write({{"backend", config().name},
                               {"user", account_.login_name()},
                               {"mailbox", key_.mailbox},
                               {"reason", what}});
  }
  contradicted_ = true;
  wake_.notify_all();
}

void SharedMailbox::on_connection_lost(const std::string&) noexcept {
  flags_are_old(Flags::kAtOnce);
  connection_.reset();
  attached_ = leased_ = connection_wanted_ = contradicted_ = false;
  wanted_since_.reset();
  yielding_ = false;
  account_.workplace().arbiter().release(holder_, key_);
  // The proxy does not fight with a session outside it, which may have severed this one.
  visit_pause_ = std::clamp(2 * visit_pause_, config().poll_interval, Millis(600'000));
  tell_polls(polls_);
  tell_polls(asked_);
  tell_flags_asked();
  last_visit_ = now();
  wake_.notify_all();
  changed_.notify_all();
}

SharedConnection::Attachment::Taken SharedMailbox::on_untagged(
    Party* party, const wire::Response& response, std::optional<backend::LiteralStart> literal) noexcept {
  using Name = wire::ResponseName;
  auto& table = heard_table();
  fetched_number_ = 0;
  switch (response.name) {
    case Name::kExists:
      if (deselecting_) return Taken::kByMailbox;
      if (!table.grow_to(response.number)) contradiction("EXISTS shrinks");
      if (!attaching_) news();
      return Taken::kByMailbox;
    case Name::kRecent:
      recent_ = response.number;
      return Taken::kByMailbox;
    case Name::kExpunge:
      if (deselecting_) return Taken::kByMailbox;
      if (!attaching_ && response.number > 0 && response.number <= table.exists())
        viewers_.for_each([&](Viewer& viewer) { viewer.view.on_expunge(response.number); });
      heard_expunge_ = true;
      if (!table.expunge(response.number)) contradiction("EXPUNGE beyond the last message");
      if (!attaching_) news();
      return Taken::kByMailbox;
    case Name::kVanished:
      contradiction("VANISHED, which nobody asked for");
      return Taken::kByMailbox;
    case Name::kFlags:
      if (flags_ != response.arguments) {
        flags_ = response.arguments;
        ++flags_version_;
        if (!attaching_) news();
      }
      return Taken::kByMailbox;
    case Name::kFetch: {
      if (deselecting_) return Taken::kByMailbox;
      if (literal) {
        nobodys_.clear();
        fetched_.begin({});
        if (fetched_.piece(response.arguments, nobodys_)) fetched_number_ = response.number;
      }
      if (!attaching_ && party && party != this && party->on_fetch(*this, response, literal))
        return Taken::kByParty;
      uint32_t uid = 0;
      bool has_flags = false;
      if (!literal && wire::read_fetch(response.arguments, uid, fetched_flags_, has_flags)) {
        learn(response.number, uid, has_flags ? &fetched_flags_ : nullptr);
      } else if (!literal && flags_heard_) {
        contradiction("a FETCH response that makes no sense");  // somebody waits for what it says
      }
      return Taken::kByMailbox;
    }
    case Name::kSearch:
      if (party != this) return Taken::kNo;
      if (searched_ && !wire::read_numbers(response.arguments, *searched_)) searched_->clear();
      return Taken::kByMailbox;
    case Name::kOk:
      return on_code(response);
    case Name::kNo:
      return base::equals_ignore_case(response.code, "UIDNOTSTICKY") ? on_code(response) : Taken::kNo;
    default:
      return Taken::kNo;
  }
}

void SharedMailbox::on_text(bool by_party, std::string_view text,
                            std::optional<backend::LiteralStart> literal) noexcept {
  if (fetched_number_ == 0) return;
  nobodys_.clear();
  const bool understood = fetched_.piece(text, nobodys_);
  if (understood && literal) return;
  const uint32_t number = std::exchange(fetched_number_, 0);
  if (by_party || !understood || !fetched_.complete()) return;
  learn(number, fetched_.uid(), fetched_.has_flags() ? &fetched_.flags() : nullptr);
}

SharedConnection::Attachment::Taken SharedMailbox::on_code(const wire::Response& response) {
  const auto is = [&](std::string_view code) { return base::equals_ignore_case(response.code, code); };
  wire::TokenReader arguments(response.code_arguments);
  if (is("PERMANENTFLAGS")) {
    if (permanent_flags_ != response.code_arguments) {
      permanent_flags_ = response.code_arguments;
      ++flags_version_;
      if (!attaching_) news();
    }
  } else if (is("UIDVALIDITY")) {
    const auto validity = arguments.number().value_or(0);
    if (attaching_) {
      heard_validity_ = validity;
    } else if (!deselecting_ && validity != uid_validity_) {
      contradiction("another UIDVALIDITY");
    }
  } else if (is("UIDNEXT")) {
    const auto next = arguments.number().value_or(0);
    if (attaching_) {
      heard_next_ = next;
    } else if (!deselecting_) {
      uid_next_ = std::max(uid_next_, next);
    }
  } else if (is("UIDNOTSTICKY")) {
    uids_not_sticky_ = true;
  } else if (is("READ-ONLY") || is("READ-WRITE")) {
    // RFC 3501, 7.1: its access may change while it is selected.
    if (attaching_ || deselecting_ || !attached_for_writing()) return Taken::kByMailbox;
    read_only_ = is("READ-ONLY");
    news();
  } else if (!is("UNSEEN") && !is("HIGHESTMODSEQ") && !is("NOMODSEQ") && !is("CLOSED")) {
    return Taken::kNo;
  }
  return Taken::kByMailbox;
}

void SharedMailbox::on_untagged(const wire::Response& response,
                                std::optional<backend::LiteralStart>) noexcept {
  base::log::debug("backend {}: {} says: {}", config().name, key_.mailbox, response.line);
}

void SharedMailbox::learn(uint32_t number, uint32_t uid, const std::string* flags) {
  auto& table = heard_table();
  const auto changes = table.changes();
  const auto known = table.known();
  if (uid != 0 && !table.learn_uid(number, uid)) {
    contradiction("the UID of a message changed");
    return;
  }
  if (uid != 0 && !attaching_) {
    saw_uid(uid);
    if (number <= table.known()) read_up_to_ = std::max(read_up_to_, uid + 1);
  }
  if (flags && !table.learn_flags(number, *flags)) contradiction("flags of a message that is not there");
  if (flags && flags_heard_ && number <= table.known()) flags_heard_->add(table, number);
  if (!attaching_ && (table.changes() != changes || table.known() != known)) news();
}

}  // namespace imapmux::mailbox
