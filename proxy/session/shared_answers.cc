// SharedSession: what the backend answers, from its UIDs and numbers to the client's.
#include <algorithm>

#include "base/log.h"
#include "session/capability_list.h"
#include "session/shared_session.h"
#include "wire/number_lists.h"

namespace imapmux::session {
namespace {

using backend::LiteralStart;
using backend::TaggedReply;
using wire::ResponseName;
using wire::Verb;

bool by_uid(Verb verb) {
  return wire::info(verb).name.starts_with("UID ");
}

bool is_store(Verb verb) {
  return verb == Verb::kStore || verb == Verb::kUidStore;
}

// What is about a mailbox, and is no answer to a command: where no mailbox of ours is open it means nothing.
bool is_about_a_mailbox(ResponseName name) {
  switch (name) {
    case ResponseName::kExists:
    case ResponseName::kRecent:
    case ResponseName::kExpunge:
    case ResponseName::kVanished:
    case ResponseName::kFetch:
    case ResponseName::kFlags:
    case ResponseName::kCapability:
    case ResponseName::kEnabled:
    case ResponseName::kId:
      return true;
    default:
      return false;
  }
}

}  // namespace

void SharedSession::on_untagged(const wire::Response& response,
                                std::optional<LiteralStart> literal) noexcept {
  fetch_is_passed_ = false;
  fetch_number_ = 0;
  switch (response.name) {
    case ResponseName::kSearch:
    case ResponseName::kSort:
    case ResponseName::kThread:
      on_found(response);
      return;
    case ResponseName::kOk:
    case ResponseName::kNo:
    case ResponseName::kBad:
      if (!is_hidden_code(response.code)) client_.writer().pass_line(response.line);
      return;
    default:
      break;
  }
  if (is_about_a_mailbox(response.name)) return;
  fetch_is_passed_ = literal.has_value();
  if (literal) {
    client_.writer().pass_start(response.line, *literal);
  } else {
    client_.writer().pass_line(response.line);
  }
  hold_back_if_slow();
}

void SharedSession::on_literal(std::string_view octets) noexcept {
  if (!fetch_is_passed_) return;
  if (half_.replaying()) {
    replay_octets(octets);
    return;
  }
  if (fetch_number_ != 0) half_.passed(octets);
  client_.writer().pass_literal(octets);
  hold_back_if_slow();
}

void SharedSession::on_text(std::string_view text, std::optional<LiteralStart> literal) noexcept {
  if (!fetch_is_passed_) return;
  auto& writer = client_.writer();
  if (fetch_number_ == 0) {  // no FETCH: it is passed on as it comes
    writer.pass_text(text, literal ? &*literal : nullptr);
    return;
  }
  if (half_.replaying()) {
    replay_text(text, literal);
    return;
  }
  body_.clear();
  if (!attributes_.piece(text, body_) || (!literal && !attributes_.complete())) {
    break_off("The mail server can't be understood");
    return;
  }
  if (literal) half_.next(text, *literal);
  writer.pass_text(body_, literal ? &*literal : nullptr);
  if (literal) return;
  fetched(fetch_number_, attributes_.uid(), attributes_.has_flags() ? &attributes_.flags() : nullptr);
  if (std::exchange(flags_withheld_, false))
    writer.untagged_flags(view.to_view(fetch_number_), 0, attributes_.flags());
  fetch_number_ = 0;
}

wire::FetchWishes SharedSession::wishes() const {
  wire::FetchWishes wishes{.uid = false};
  for (const auto& relayed : in_flight_) {
    if (!relayed.sent) continue;
    wishes.uid = wishes.uid || relayed.wants_uid;
    wishes.body_is_rfc822 = wishes.body_is_rfc822 || relayed.renames_body;
    wishes.body_text_is_rfc822_text = wishes.body_text_is_rfc822_text || relayed.renames_body_text;
    wishes.renamed_from_0 = wishes.renamed_from_0 || relayed.renamed_from_0;
  }
  return wishes;
}

bool SharedSession::on_fetch(const mailbox::SharedMailbox& mailbox, const wire::Response& response,
                             std::optional<LiteralStart> literal) noexcept {
  if (mailbox_.get() != &mailbox || !Viewer::linked()) return false;
  fetch_number_ = 0;
  fetch_is_passed_ = false;
  tell_known_flags();
  if (half_.replaying() && replay_fetch(response, literal)) return true;
  if (literal && client_.writer().inside_response()) {
    break_off("The mail server can't be understood");
  } else if (literal) {
    begin_fetch(response, *literal);
  } else {
    whole_fetch(response);
  }
  hold_back_if_slow();
  return true;
}

// The client has to know of a message before it sees it.
uint32_t SharedSession::shown_as(uint32_t number) {
  const uint32_t mine = view.to_view(number);
  if (mine > view.count()) tell_exists(std::max(number, mailbox_->table().known()));
  return mine;
}

void SharedSession::whole_fetch(const wire::Response& response) {
  const uint32_t number = response.number;
  if (number == 0 || number > mailbox_->table().exists()) {
    mailbox_->doubt("a FETCH response for a message that is not there");
    return;
  }
  auto wanted = wishes();
  const bool echoes = std::any_of(in_flight_.begin(), in_flight_.end(),
                                  [](const Relayed& one) { return one.sent && one.echo_comes; });
  if (echoes) {
    uint32_t uid = 0;
    bool has_flags = false;
    if (wire::read_fetch(response.arguments, uid, fetch_flags_, has_flags) && has_flags)
      wanted.flags = !is_withheld(number, is_echo(number) ? 0 : uid, fetch_flags_);
    wanted.uid = wanted.uid && wanted.flags;  // of an echo that is withheld nothing is left
  }
  body_.clear();
  attributes_.begin(wanted);
  const bool understood = attributes_.piece(response.arguments, body_) && attributes_.complete();
  if (!understood) {
    mailbox_->doubt("a FETCH response that makes no sense");
    return;
  }
  uint32_t uid = attributes_.uid();
  const uint32_t known = mailbox_->table().uid(number);
  const auto* flags = attributes_.has_flags() ? &attributes_.flags() : nullptr;
  if (flags && uid != known && is_echo(number)) {
    // GNU imap4d answers UID STORE with UIDs of other messages, or without any.
    wanted.uid = false;
    body_.clear();
    attributes_.begin(wanted);
    attributes_.piece(response.arguments, body_);
    if (wishes().uid && wanted.flags) body_.insert(1, "UID " + std::to_string(known) + " ");
    uid = 0;
  }
  if (uid != 0 && known != 0 && uid != known) {
    mailbox_->learn(number, uid, nullptr);  // which it will not believe
    return;
  }
  fetched(number, uid, flags);
  if (flags && wanted.flags) told_flags_of(mailbox_->table().uid(number));
  if (flags && !wanted.flags) note_withheld(number);
  const uint32_t mine = shown_as(number);
  if (!attributes_.nothing_left()) client_.writer().untagged_fetch(mine, body_);
}

// What the backend says of a message is in the table, and this client was told it. What others changed it is
// told behind that: clients (Roundcube) take the first FETCH response for the one they asked for.
void SharedSession::fetched(uint32_t number, uint32_t uid, const std::string* flags) {
  const auto& table = mailbox_->table();
  const bool up_to_date = view.mark() == table.changes();
  mailbox_->learn(number, uid, flags);
  if (number <= table.known()) note_delivered(number);
  if (up_to_date) {
    view.told_flags(table.changes());
  } else if (flags && number <= table.known() && table.changed_after(number, view.mark())) {
    told_ahead_[table.uid(number)] = table.change_of(number);
  }
}

// Whether the client was told of the last change of its flags.
bool SharedSession::was_told_flags(uint32_t number) const {
  const auto& table = mailbox_->table();
  if (!table.changed_after(number, view.mark())) return true;
  const auto ahead = told_ahead_.find(table.uid(number));
  return ahead != told_ahead_.end() && ahead->second == table.change_of(number);
}

void SharedSession::begin_fetch(const wire::Response& response, const LiteralStart& literal) {
  const uint32_t number = response.number;
  body_.clear();
  attributes_.begin(wishes());
  if (number == 0 || number > mailbox_->table().exists() || !attributes_.piece(response.arguments, body_)) {
    mailbox_->doubt("a FETCH response that makes no sense");
    return;
  }
  const uint32_t uid = attributes_.uid();
  const uint32_t known = mailbox_->table().uid(number);
  if (uid != 0 && known != 0 && uid != known) {
    mailbox_->learn(number, uid, nullptr);
    return;
  }
  if (uid != 0) mailbox_->learn(number, uid, nullptr);
  fetch_number_ = number;
  fetch_is_passed_ = true;
  flags_withheld_ = false;
  half_.begin(known, response.arguments, literal);
  client_.writer().begin_fetch(shown_as(number), body_, literal);
}

// Whether a STORE of this message is under way, and nothing else that is answered by its number.
bool SharedSession::is_echo(uint32_t number) const {
  const auto& table = mailbox_->table();
  const uint32_t uid = number <= table.known() ? table.uid(number) : 0;
  if (uid == 0) return false;
  bool stores = false;
  for (const auto& relayed : in_flight_) {
    if (!relayed.sent) continue;
    if (!is_store(relayed.verb)) return false;
    stores = stores || relayed.uids.contains(uid, table.last_uid());
  }
  return stores;
}

// An echo that this client did not ask for: it is taken out if it says no more than the client knows.
bool SharedSession::is_withheld(uint32_t number, uint32_t uid, const std::string& flags) const {
  const auto& table = mailbox_->table();
  if (number == 0 || number > table.exists()) return false;
  if (!table.knows_flags(number) || !was_told_flags(number)) return false;
  const auto now = mailbox::FlagSet::parse(flags);
  if (!now) return false;
  if (uid == 0) uid = table.uid(number);
  bool withheld = false;
  for (const auto& relayed : in_flight_) {
    if (!relayed.sent || !is_store(relayed.verb) || !relayed.uids.contains(uid, table.last_uid())) continue;
    if (!relayed.silent) return false;
    if (std::find(relayed.told_uids.begin(), relayed.told_uids.end(), uid) != relayed.told_uids.end())
      return false;
    if (table.flags(number).after(relayed.operation, relayed.flags).without_recent() == now->without_recent())
      withheld = true;
  }
  return withheld;
}

void SharedSession::note_withheld(uint32_t number) {
  const auto& table = mailbox_->table();
  if (number > table.known()) return;
  for (auto& relayed : in_flight_)
    if (relayed.sent && relayed.silent && relayed.uids.contains(table.uid(number), table.last_uid()))
      relayed.withheld.add(table, number);
}

// It did not come to an OK: what it has changed all the same the client cannot know.
void SharedSession::tell_withheld(const Relayed& relayed) {
  if (relayed.withheld.empty()) return;
  const auto& table = mailbox_->table();
  tell_known_flags();
  for (uint32_t number = 1; number <= table.known(); ++number) {
    if (!relayed.withheld.contains(table.uid(number))) continue;
    client_.writer().untagged_flags(view.to_view(number), 0, table.flags_text(number));
  }
}

void SharedSession::on_found(const wire::Response& response) {
  if (found_) {
    wire::read_numbers(response.arguments, *found_);
    return;
  }
  const auto asked = std::find_if(in_flight_.begin(), in_flight_.end(), [](const Relayed& one) {
    return one.sent && wire::info(one.verb).family == wire::Family::kSearch;
  });
  if (asked == in_flight_.end()) return;
  if (by_uid(asked->verb) && !asked->extended) {
    asked->answers.emplace_back(response.line.substr(2));
  } else if (response.name == ResponseName::kThread) {
    const auto threads =
        wire::map_threads(response.arguments, [this](uint32_t uid) { return number_of(uid); });
    if (threads) asked->answers.push_back(threads->empty() ? "THREAD" : "THREAD " + *threads);
  } else if (asked->extended) {
    wire::read_numbers(response.arguments, asked->found);
  } else {
    std::vector<uint32_t> found;
    wire::read_numbers(response.arguments, found);
    std::string line(response.name == ResponseName::kSort ? "SORT" : "SEARCH");
    for (const uint32_t uid : found) {
      const uint32_t number = number_of(uid);
      if (number == 0) continue;
      line += ' ';
      line += std::to_string(number);
    }
    asked->answers.push_back(std::move(line));
  }
}

// The client's number of what was found; 0: it does not know of it, and can't yet.
uint32_t SharedSession::number_of(uint32_t uid) {
  const uint32_t number = mailbox_->table().number_of(uid);
  return number == 0 ? 0 : shown_as(number);
}

void SharedSession::write_results(Relayed& relayed) {
  if (relayed.extended) {
    auto& found = relayed.found;
    const bool uids = by_uid(relayed.verb);
    if (!uids) {
      for (auto& uid : found) uid = number_of(uid);
      std::erase(found, 0U);
    }
    client_.writer().untagged(
        wire::write_esearch(relayed.tag, std::move(found), relayed.options,
                            uids ? wire::Numbering::kUids : wire::Numbering::kSequenceNumbers));
    found = std::vector<uint32_t>();  // = {} would keep its memory
  } else if (!relayed.answers.empty()) {
    for (const auto& answer : relayed.answers) client_.writer().untagged(answer);
  } else if (wire::info(relayed.verb).family == wire::Family::kSearch) {
    // Nothing found: servers may say so by silence, but clients wait for the word.
    const auto name = wire::info(relayed.verb).name;
    client_.writer().untagged(by_uid(relayed.verb) ? name.substr(4) : name);
  }
}

void SharedSession::Relayed::on_tagged(const wire::Response& response) noexcept {
  session.complete(*this, response);
}

void SharedSession::complete(Relayed& relayed, const wire::Response& response) {
  if (relayed.completes_literal) {
    literal_completed(relayed);
    return;
  }
  conclude(relayed, backend::to_reply(response));
}

void SharedSession::conclude(Relayed& relayed, TaggedReply reply) {
  const auto verb = relayed.verb;
  const bool ok = reply.ok();
  const bool some_gone =
      in_mailbox() && !relayed.numbers.empty() && view.any_ghost(relayed.numbers, relayed.told);
  if (ok && in_mailbox()) write_results(relayed);
  if (ok && in_mailbox() && is_store(verb) && relayed.silent && !relayed.echo_comes) assume(relayed);
  if (!ok && in_mailbox()) tell_withheld(relayed);
  if (ok && some_gone && verb == Verb::kFetch) {
    reply.code = "EXPUNGEISSUED";  // RFC 2180, 4.1
    reply.text = "Some of the messages are gone";
  } else if (ok && some_gone && verb == Verb::kStore && !relayed.silent) {
    reply.status = ResponseName::kNo;  // RFC 2180, 4.2
    reply.code = "EXPUNGEISSUED";
    reply.text = "Some of the messages are gone";
  }
  const std::string tag = std::move(relayed.tag);
  const auto begun_at = relayed.begun_at;
  drop(relayed);
  if (in_mailbox()) mailbox_->worked();
  tell_before(verb);
  client_.writer().tagged(tag, reply);
  client_.answered(verb, begun_at);
  hold_back_if_slow();
  free_spare();
  progress_.notify_all();
}

// Nobody else looks on, so that no echo was asked for.
void SharedSession::assume(const Relayed& relayed) {
  const auto& table = mailbox_->table();
  const auto uids = relayed.uids.resolved(table.last_uid());
  for (const auto range : uids.ranges()) {
    for (uint32_t number = table.first_from(range.first);
         number <= table.known() && table.uid(number) <= range.last; ++number)
      mailbox_->assume_flags(number, relayed.operation, relayed.flags);
  }
  for (const uint32_t uid : relayed.told_uids) {
    const uint32_t number = table.number_of(uid);
    if (number == 0 || !relayed.uids.contains(uid, table.last_uid()) || !table.knows_flags(number)) continue;
    client_.writer().untagged_flags(view.to_view(number), 0, table.flags_text(number));
  }
}

void SharedSession::on_news() noexcept {
  if (client_.writer().unsent() > net::Stream::kHighWatermark) return;  // told when it has read what it has
  // What stands behind DONE already was sent in the belief that nothing has changed.
  tell(numbers_open() ? Expunges::kHeldBack : Expunges::kTold);
}

void SharedSession::on_mailbox_changed_identity() noexcept {
  break_off("[UNAVAILABLE] Mailbox changed identity");
}

void SharedSession::on_alert(std::string_view line) noexcept {
  client_.writer().untagged(line.substr(2));
}

void SharedSession::on_credential_refused() noexcept {
  break_off("[AUTHENTICATIONFAILED] The mail server does not accept your password any more");
}

void SharedSession::break_off(std::string_view why) {
  if (client_.state() == State::kLogout) return;
  client_.say_bye(why);
  again_.cancel();  // its UIDs may mean other messages by now
  client_.end(std::string(why));
}

}  // namespace imapmux::session
