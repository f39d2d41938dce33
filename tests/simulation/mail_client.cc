#include "simulation/mail_client.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/bytes.h"

namespace imapmux::simulation {

using base::Millis;
using wire::Response;
using wire::ResponseName;
using wire::ResponseParser;
using wire::Verb;

namespace {

constexpr size_t kMostInFlight = 8;

}  // namespace

MailClient::MailClient(Surroundings around, Account account, std::string name)
    : around_(std::move(around)),
      world_(around_.audit.world),
      account_(std::move(account)),
      name_(std::move(name)),
      next_act_(world_.scheduler, [this] { act(); }),
      read_again_(world_.scheduler, [this] {
        if (!link_) return;
        link_->hold(false);
        audit_->reads(true);
      }) {
  act_again();
}

MailClient::~MailClient() {
  if (link_) link_->set_peer(nullptr);
}

// --- what it does, from time to time

void MailClient::act_again() {
  const auto dice = world_.random.below(100);
  const uint32_t pause = dice < 70   ? world_.random.below(200)
                         : dice < 95 ? world_.random.below(1500)
                                     : world_.random.below(8000);
  next_act_.start(Millis(pause));
}

void MailClient::act() {
  if (state_ != State::kAway || !leaving_) act_again();
  auto& random = world_.random;
  switch (state_) {
    case State::kAway:
      if (!leaving_ && !resting_) connect();
      return;
    case State::kGreeting:
    case State::kLoggingIn:
    case State::kEnding:
      return;
    case State::kReady:
      break;
  }
  if (idling_) {
    act_in_idle();
    return;
  }
  if (resting_ || barrier_ || in_flight_.size() >= kMostInFlight) return;
  if (random.below(400) == 0) {
    vanish();
  } else if (random.below(400) == 0) {
    half_close();
  } else {
    if (random.below(60) == 0) stop_reading();
    send_packet(script_->packet(known_));
  }
}

void MailClient::act_in_idle() {
  auto& random = world_.random;
  if (resting_ || random.below(10) == 0) {
    end_idle();
  } else if (random.below(200) == 0) {
    vanish();
  }
}

void MailClient::rest(bool resting) {
  resting_ = resting;
  if (resting && idling_) end_idle();
}

bool MailClient::at_rest() const {
  return in_flight_.empty() && (state_ == State::kReady || state_ == State::kAway) && !read_again_.active();
}

void MailClient::ask_for_news() {
  if (state_ == State::kReady && known_.selected) send_packet({script_->plain(Verb::kNoop)});
}

void MailClient::ask_for_all() {
  if (state_ == State::kReady && known_.selected)
    send_packet({script_->search_all(), script_->plain(Verb::kNoop)});
}

void MailClient::leave() {
  leaving_ = true;
  if (state_ == State::kReady && !barrier_ && !idling_ && world_.random.percent(50)) {
    send_packet({script_->plain(Verb::kLogout)});
  } else if (link_) {
    vanish();
  }
}

// --- its connection

void MailClient::connect() {
  net::PeerFacts facts;
  facts.address = base::IpAddress::parse(fmt::format("192.0.2.{}", world_.random.between(10, 20)));
  facts.port = static_cast<uint16_t>(world_.random.between(1024, 65000));
  link_ = around_.network.connect(LinkHabits::any(world_.random), facts);
  audit_ = std::make_shared<SessionAudit>(around_.audit, account_.user, name_);
  script_ = std::make_unique<Script>(world_.random, around_.habits);
  parser_ = ResponseParser({.max_line = size_t{1} << 24, .max_inline = size_t{1} << 24});
  known_ = {};
  state_ = State::kGreeting;
  world_.dialogue.note(name_, "connects");
  link_->set_tap(audit_);
  link_->set_peer(this);
  around_.on_connected(audit_);
  around_.proxy(Link::open_stream(link_));
}

void MailClient::log_in() {
  state_ = State::kLoggingIn;
  wrong_password_ = world_.random.percent(3);
  send_packet({script_->login(account_.user, wrong_password_ ? "wrong" : account_.password)});
}

// A reset, as of a phone that lost its network.
void MailClient::vanish() {
  world_.dialogue.note(name_, "vanishes");
  audit_->leaves();
  link_->reset();
  forget_connection();
}

// It has finished sending, and reads what still comes.
void MailClient::half_close() {
  world_.dialogue.note(name_, "has finished sending");
  audit_->leaves();
  link_->finish();
  state_ = State::kEnding;
}

void MailClient::forget_connection() {
  read_again_.stop();
  link_.reset();
  in_flight_.clear();
  barrier_.reset();
  opening_.reset();
  idling_ = false;
  state_ = State::kAway;
}

void MailClient::stop_reading() {
  if (read_again_.active()) return;
  world_.dialogue.note(name_, "does not read for a while");
  link_->hold(true);
  audit_->reads(false);
  read_again_.start(Millis(world_.random.below(3000)));
}

void MailClient::send_packet(const std::vector<CommandPtr>& commands) {
  std::string packet;
  for (const auto& command : commands) {
    ++world_.steps;
    audit_->sends(command, command->parts.front());
    packet += command->parts.front();
    in_flight_.push_back(command);
    known_.expunge_may_come = known_.expunge_may_come || command->info().may_expunge;
    if (!Script::is_barrier(*command)) continue;
    barrier_ = command;
    parts_sent_ = 1;
  }
  link_->send(packet);
}

void MailClient::end_idle() {
  idling_ = false;
  ++world_.steps;
  std::string packet = "DONE\r\n";
  audit_->sends_done(packet);
  if (const auto behind = resting_ ? nullptr : script_->behind_done(known_)) {
    audit_->sends(behind, behind->parts.front());
    packet += behind->parts.front();
    in_flight_.push_back(behind);
    if (Script::is_barrier(*behind)) {
      barrier_ = behind;
      parts_sent_ = 1;
    }
  }
  link_->send(packet);
}

// --- what it reads

void MailClient::on_octets(std::string_view octets) {
  while (link_) {
    switch (parser_.next(octets)) {
      case ResponseParser::Event::kResponse:
        on_response(parser_.response());
        break;
      case ResponseParser::Event::kLiteralData:
      case ResponseParser::Event::kText:
        break;
      case ResponseParser::Event::kNeedMore:
      case ResponseParser::Event::kMalformed:  // the audit says so
        return;
    }
  }
}

void MailClient::on_end() {
  world_.dialogue.note(name_, "is disconnected");
  audit_->leaves();
  link_->finish();
  link_->set_peer(nullptr);
  forget_connection();
}

void MailClient::on_reset() {
  on_end();
}

void MailClient::on_response(const Response& response) {
  if (state_ == State::kGreeting) {
    log_in();
    return;
  }
  switch (response.kind) {
    case Response::Kind::kContinuation:
      on_go_ahead();
      break;
    case Response::Kind::kTagged:
      on_tagged(response);
      break;
    case Response::Kind::kUntagged:
      on_untagged(response);
      break;
  }
}

void MailClient::on_go_ahead() {
  if (!barrier_) return;
  if (barrier_->verb == Verb::kIdle) {
    idling_ = true;
    if (resting_) end_idle();
    return;
  }
  if (parts_sent_ >= barrier_->parts.size() || state_ == State::kEnding) return;
  const auto& part = barrier_->parts[parts_sent_++];
  audit_->sends(barrier_, part);
  link_->send(part);
}

void MailClient::on_tagged(const Response& response) {
  const auto found =
      std::ranges::find_if(in_flight_, [&](const auto& command) { return command->tag == response.tag; });
  if (found == in_flight_.end()) return;
  const CommandPtr command = *found;
  in_flight_.erase(found);
  if (barrier_ == command) barrier_.reset();
  known_.expunge_may_come =
      std::ranges::any_of(in_flight_, [](const auto& other) { return other->info().may_expunge; });
  const bool ok = response.name == ResponseName::kOk;
  switch (command->verb) {
    case Verb::kLogin:
      if (ok && wrong_password_) world_.verdict.fail(name_, "a wrong password is accepted");
      if (ok) {
        const std::string code = base::upper(response.code_arguments);
        known_.has_uidplus = code.contains("UIDPLUS");
        known_.has_move = code.contains("MOVE");
        state_ = State::kReady;
      } else {
        vanish();  // and comes back
      }
      break;
    case Verb::kSelect:
    case Verb::kExamine:
      known_.selected = ok;
      known_.mailbox = command->mailbox;
      known_.read_only = command->verb == Verb::kExamine;
      if (ok && opening_) known_.picture = std::move(*opening_);
      opening_.reset();
      break;
    case Verb::kClose:
    case Verb::kUnselect:
      if (ok) known_.selected = false;
      break;
    case Verb::kIdle:
      idling_ = false;
      break;
    default:
      break;
  }
}

void MailClient::on_untagged(const Response& response) {
  if (response.name == ResponseName::kBye) {
    state_ = State::kEnding;
    return;
  }
  const bool opening = !in_flight_.empty() && in_flight_.front()->is({Verb::kSelect, Verb::kExamine});
  if (opening && !opening_) opening_.emplace();
  auto& picture = opening ? *opening_ : known_.picture;
  if (response.name == ResponseName::kExists) {
    picture.told_exists(response.number);
  } else if (response.name == ResponseName::kExpunge) {
    picture.told_expunge(response.number);
  } else if (response.name == ResponseName::kFetch && response.number <= picture.exists()) {
    const auto data = parse_fetch(response.arguments);
    if (data && data->uid) picture.told_uid(response.number, *data->uid);
  }
}

}  // namespace imapmux::simulation
