#include "mailbox/shared_connection.h"

#include <cassert>

#include "base/log_event.h"

namespace imapmux::mailbox {
namespace {

using async::Task;
using backend::LiteralStart;
using backend::TaggedReply;
using base::Millis;

base::log::Event spool_event{base::log::Level::kError, "spooling failed", base::log::Event::Volume::kLimited};

constexpr size_t kTurnCommands = 64;
constexpr size_t kTurnOctets = 1024 * 1024;
// For clients that have gone.
constexpr Millis kPatienceWithAnswers{2'000};
constexpr Millis kLookAgain{100};
constexpr uint64_t kLongAnswer = 64 * 1024;
constexpr uint64_t kMostForNobody = 4 * 1024 * 1024;

}  // namespace

backend::Completion* SharedConnection::Flight::land() {
  auto& list = connection.flights_;
  connection.spare_.splice(connection.spare_.begin(), list, self);
  held.reset();
  if (list.empty()) connection.landed_.notify_all();
  return std::exchange(completion, nullptr);
}

void SharedConnection::Flight::on_tagged(const wire::Response& response) noexcept {
  auto& of = connection;
  if (auto* whose = land()) whose->on_tagged(response);
  if (of.party_) of.party_->on_progress();
  of.pass_on();
}

void SharedConnection::Flight::on_lost(const std::string& reason) noexcept {
  if (auto* whose = land()) whose->on_lost(reason);
}

// Waits for one tagged answer on behalf of a task; in its frame.
class SharedConnection::Reply final : public backend::Completion {
 public:
  explicit Reply(std::shared_ptr<SharedConnection> of) : connection_(std::move(of)) {}
  ~Reply() { connection_->forget(*this); }
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  Task<TaggedReply> wait() {
    co_await done_.wait();
    if (lost_) throw net::ConnectionLost(net::Side::kBackend, connection_->lost_reason());
    co_return std::move(reply_);
  }

 private:
  void on_tagged(const wire::Response& response) noexcept override {
    reply_ = backend::to_reply(response);
    done_.set();
  }
  void on_lost(const std::string&) noexcept override {
    lost_ = true;
    done_.set();
  }
  std::shared_ptr<SharedConnection> connection_;
  TaggedReply reply_;
  async::Event done_;
  bool lost_ = false;
};

// A place in the line, given up when its task is cancelled: also a turn that was granted in the same moment.
class SharedConnection::Waiting {
 public:
  Waiting(std::shared_ptr<SharedConnection> of, Party& party) : connection_(std::move(of)), waiter_(party) {
    connection_->waiting_.push_back(waiter_);
  }
  ~Waiting() {
    waiter_.unlink();
    if (waiter_.granted) connection_->end(waiter_.party);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  Task<> decided() { return waiter_.decided.wait(); }
  bool take() { return std::exchange(waiter_.granted, false); }

 private:
  std::shared_ptr<SharedConnection> connection_;
  Waiter waiter_;
};

const std::string SharedConnection::kClosing = "it is being closed";

SharedConnection::SharedConnection(Owner& owner, std::unique_ptr<backend::BackendConnection> connection,
                                   Account::Slot place)
    : owner_(owner), connection_(std::move(connection)), place_(std::move(place)) {
  opened_at_ = last_used_ = owner_.tasks().scheduler().now();
}

SharedConnection::~SharedConnection() {
  connection_->set_observer(nullptr);
}

void SharedConnection::begin() {
  connection_->set_observer(this);
  connection_->go_on();
}

void SharedConnection::count(size_t octets) {
  octets_ += octets;
  received_ += octets;
}

bool SharedConnection::turn_over() const {
  if (waiting_.empty()) return false;
  return commands_ >= kTurnCommands || octets_ >= kTurnOctets ||
         owner_.tasks().scheduler().now() - turn_began_ >= owner_.min_hold();
}

void SharedConnection::give_turn(Party& party) {
  if (party_ != &party || (holds_ == 0 && flights_.empty())) {
    party_ = &party;
    commands_ = 0;
    octets_ = 0;
    turn_began_ = owner_.tasks().scheduler().now();
  }
  last_used_ = owner_.tasks().scheduler().now();
  ++holds_;
}

bool SharedConnection::try_turn(Party& party) {
  if (lost()) return false;
  // Answered before it was complete: what comes now would become a part of its literal.
  if (flights_.empty() && holds_ == 0 && connection_->mid_command()) return false;
  const bool idle = holds_ == 0 && flights_.empty();
  const bool mine = party_ == &party && !idle;
  if (mine ? turn_over() : !idle || !waiting_.empty()) return false;
  give_turn(party);
  return true;
}

Task<bool> SharedConnection::turn(Party& party) {
  if (try_turn(party)) co_return true;
  if (lost()) co_return false;
  Waiting waiting(shared_from_this(), party);
  if (party_ && party_ != &party) party_->on_others_wait();
  co_await waiting.decided();
  co_return waiting.take();
}

void SharedConnection::end(Party& party) {
  assert(holds_ > 0);
  --holds_;
  if (party_ == &party || !party_) pass_on();
}

void SharedConnection::pass_on() {
  if (holds_ > 0 || !flights_.empty() || lost() || connection_->mid_command()) return;
  if (const auto why = connection_->why_not_reusable(); !why.empty()) {
    abort(std::string(why));
    return;
  }
  last_used_ = owner_.tasks().scheduler().now();
  connection_->resume();  // a client that reads slowly holds nobody up who comes behind it
  if (auto* next = waiting_.pop_front()) {
    give_turn(next->party);
    next->granted = true;
    next->decided.set();
    if (!waiting_.empty()) next->party.on_others_wait();
    return;
  }
  party_ = nullptr;  // who is done may go without a word
  owner_.on_connection_free(*this);
}

SharedConnection::Flight& SharedConnection::take_off(Party& party, backend::Completion& completion) {
  assert(party_ == &party && holds_ > 0 && "it is not its turn");
  (void)party;
  if (spare_.empty()) {
    flights_.emplace_back(*this);
  } else {
    flights_.splice(flights_.end(), spare_, spare_.begin());
  }
  auto& flight = flights_.back();
  flight.completion = &completion;
  flight.self = std::prev(flights_.end());
  ++commands_;
  return flight;
}

void SharedConnection::send(Party& party, const std::string& tag, std::vector<std::string> pieces,
                            backend::Completion& completion) {
  if (lost()) {
    completion.on_lost(lost_reason());
    return;
  }
  auto& flight = take_off(party, completion);
  if (pieces.size() > 1) connection_->command_begun();
  connection_->send(tag, pieces.front(), flight);
  if (pieces.size() == 1) return;
  Order rest;
  for (size_t i = 1; i < pieces.size(); ++i) rest.parts.push_back({std::move(pieces[i]), nullptr, true});
  owner_.tasks().spawn(ship(shared_from_this(), tag, std::move(rest)));
}

void SharedConnection::send_line(Party& party, const std::string& tag, std::string_view text,
                                 backend::Completion& completion) {
  if (lost()) {
    completion.on_lost(lost_reason());
    return;
  }
  connection_->send_line(tag, text, take_off(party, completion));
}

Task<TaggedReply> SharedConnection::run(Party& party, std::string text, std::shared_ptr<void> held) {
  if (lost()) throw net::ConnectionLost(net::Side::kBackend, lost_reason());
  const auto tag = next_tag();
  auto command = wire::write_command(tag, text, literal_form());
  assert(!command.pieces.empty() && "checked by the caller, or the proxy's own");
  Reply reply(shared_from_this());
  send(party, tag, std::move(command.pieces), reply);
  if (!flights_.empty()) flights_.back().held = std::move(held);
  auto answer = co_await reply.wait();
  co_return answer;
}

Task<TaggedReply> SharedConnection::run(Party& party, Order order, std::shared_ptr<void> held) {
  if (lost()) throw net::ConnectionLost(net::Side::kBackend, lost_reason());
  const auto tag = next_tag();
  Reply reply(shared_from_this());
  auto& flight = take_off(party, reply);
  flight.held = std::move(held);
  connection_->command_begun();
  connection_->send(tag, tag + " ", flight);
  owner_.tasks().spawn(ship(shared_from_this(), tag, std::move(order)));
  auto answer = co_await reply.wait();
  co_return answer;
}

// In the account's scope: a command that has begun comes to its end, whatever becomes of its client. A part
// of it that stayed without its end would swallow the next command.
Task<> SharedConnection::ship(std::shared_ptr<SharedConnection> self, std::string tag, Order order) {
  try {
    for (auto& part : order.parts) {
      if (part.waits) {
        auto go = co_await self->connection_->continuation(tag);
        if (go == backend::BackendConnection::Go::kAnswered) break;
      }
      self->connection_->send_more(part.text);
      if (!part.message) continue;
      auto whole = co_await self->ship_message(*part.message);
      if (!whole) {
        self->abort("a message that was spooled can't be read");
        co_return;
      }
    }
    self->connection_->command_completed();
    self->pass_on();
  } catch (const net::ConnectionLost&) {
    co_return;  // whoever waits for the answer is told
  }
}

Task<bool> SharedConnection::ship_message(net::Spool& message) {
  for (;;) {
    while (!lost() && unsent() > net::Stream::kHighWatermark) co_await drained_.wait();
    if (lost()) co_return true;  // the server gets no whole command
    std::string_view piece;
    try {
      piece = message.front();
    } catch (const std::exception& error) {
      spool_event.write({{"reason", error.what()}});
      co_return false;
    }
    if (piece.empty()) co_return true;
    connection_->send_more(piece);
    message.pop(piece.size());
  }
}

void SharedConnection::forget(backend::Completion& completion) {
  for (auto& flight : flights_)
    if (flight.completion == &completion) flight.completion = nullptr;
}

void SharedConnection::leave(Party& party) {
  if (reader_ == &party) reader_ = nullptr;
  if (party_ != &party) return;
  for (auto& flight : flights_) flight.completion = nullptr;
  party_ = nullptr;
  connection_->resume();
  pass_on();
  if (!flights_.empty() && !lost()) owner_.tasks().spawn(outlast(shared_from_this()));
}

// What a client that has gone asked for is read to its end by nobody; but a long answer only as long as
// nobody else waits for the connection. What the server is still at work at (COPY, EXPUNGE) is left to it.
Task<> SharedConnection::outlast(std::shared_ptr<SharedConnection> self) {
  const auto began = self->received_;
  const auto deadline = owner_.tasks().scheduler().now() + kPatienceWithAnswers;
  while (!self->lost() && !self->party_ && !self->flights_.empty()) {
    const auto received = self->received_ - began;
    const bool late = owner_.tasks().scheduler().now() >= deadline && received > kLongAnswer;
    if (self->others_wait() && (late || received > kMostForNobody)) {
      self->abort("a client has gone in the middle of a long answer");
      break;
    }
    co_await self->landed_.wait_for(kLookAgain);
  }
}

void SharedConnection::give_up() {
  connection_->abort();
  connection_->take_stream();  // its destruction closes the socket
  connection_->permit = {};
  connection_->stay = {};
  place_ = {};
  retiring_.reset();
}

void SharedConnection::attach(Attachment* attachment) {
  attachment_ = attachment;
  if (!attachment) owner_.on_connection_free(*this);
}

Task<> SharedConnection::close(Millis limit, Millis busy) {
  closing_ = true;
  attachment_ = nullptr;
  party_ = reader_ = nullptr;
  drained_.notify_all();
  while (auto* waiter = waiting_.pop_front()) waiter->decided.set();
  co_await connection_->close(limit, busy);
  give_up();
}

void SharedConnection::on_untagged(const wire::Response& response,
                                   std::optional<LiteralStart> literal) noexcept {
  count(response.line.size());
  // RFC 3501, 7.1: every client's user has to see an ALERT; that of a tagged answer is its owner's.
  if (base::equals_ignore_case(response.code, "ALERT")) {
    owner_.on_alert(response.line);
    return;
  }
  reader_ = nullptr;
  auto taken = Attachment::Taken::kNo;
  if (attachment_) taken = attachment_->on_untagged(party_, response, literal);
  if (taken == Attachment::Taken::kByMailbox) return;  // its literal, too, is for nobody
  if (literal) reader_ = party_;
  if (taken == Attachment::Taken::kNo && party_) party_->on_untagged(response, literal);
}

void SharedConnection::on_literal(std::string_view octets) noexcept {
  count(octets.size());
  if (reader_) reader_->on_literal(octets);
}

void SharedConnection::on_text(std::string_view text, std::optional<LiteralStart> literal) noexcept {
  count(text.size());
  const bool by_party = reader_ != nullptr;
  if (reader_) reader_->on_text(text, literal);
  if (attachment_) attachment_->on_text(by_party, text, literal);
  if (!literal) reader_ = nullptr;
}

void SharedConnection::on_backend_lost(const std::string& reason) noexcept {
  drained_.notify_all();
  if (party_) party_->on_progress();
  while (auto* waiter = waiting_.pop_front()) waiter->decided.set();
  if (auto* open = std::exchange(attachment_, nullptr)) open->on_connection_lost(reason);
  owner_.on_connection_lost(*this, reason);
}

void SharedConnection::on_backend_drained() noexcept {
  drained_.notify_all();
  if (party_) party_->on_progress();
}

}  // namespace imapmux::mailbox
