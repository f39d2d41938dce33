#include "backend/backend_connection.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>

#include "base/bytes.h"

namespace imapmux::backend {
namespace {

using async::Task;
using wire::Response;
using wire::ResponseName;
using wire::ResponseParser;

// Wipes what held a password when it is no longer needed.
class Wiper {
 public:
  explicit Wiper(std::vector<std::string>& texts) : texts_(texts) {}
  ~Wiper() {
    for (auto& text : texts_) base::wipe(text);
  }
  Wiper(const Wiper&) = delete;
  Wiper& operator=(const Wiper&) = delete;

 private:
  std::vector<std::string>& texts_;
};

}  // namespace

TaggedReply to_reply(const Response& response) {
  TaggedReply reply;
  reply.status = response.name;
  reply.code = base::upper(response.code);
  reply.code_arguments = response.code_arguments;
  reply.text = response.arguments;
  return reply;
}

std::string to_text(const TaggedReply& reply) {
  std::string text = reply.status == ResponseName::kOk   ? "OK "
                     : reply.status == ResponseName::kNo ? "NO "
                                                         : "BAD ";
  if (!reply.code.empty()) {
    text += "[" + reply.code;
    if (!reply.code_arguments.empty()) text += " " + reply.code_arguments;
    text += "] ";
  }
  return text + (reply.text.empty() ? "done" : reply.text);
}

PendingReply::~PendingReply() {
  connection_.forget(*this);
}

void PendingReply::on_tagged(const Response& response) noexcept {
  reply_ = to_reply(response);
  done_.set();
}

void PendingReply::on_lost(const std::string&) noexcept {
  lost_ = true;
  done_.set();
}

Task<TaggedReply> PendingReply::wait() {
  co_await done_.wait();
  if (lost_) throw net::ConnectionLost(net::Side::kBackend, connection_.lost_reason());
  co_return std::move(reply_);
}

BackendConnection::BackendConnection(async::Scheduler& scheduler, std::unique_ptr<net::Stream> stream,
                                     base::Millis command_timeout)
    : scheduler_(scheduler),
      stream_(std::move(stream)),
      command_timeout_(command_timeout),
      timer_(scheduler, [this] { timed_out(); }) {
  stream_->set_handler(this);
  stream_->start_reading();
}

BackendConnection::~BackendConnection() {
  if (stream_) stream_->set_handler(nullptr);
}

Task<> BackendConnection::greet(base::Millis limit) {
  auto result = co_await greeted_.wait_for(limit);
  if (lost_) throw TurnedAway(net::Side::kBackend, lost_reason_);
  if (result == async::WaitResult::kTimeout)
    throw net::ConnectionLost(net::Side::kBackend, "no greeting came");
}

Task<TaggedReply> BackendConnection::run(std::string text) {
  auto reply = co_await run_secret(base::Secret(std::move(text)));
  co_return reply;
}

Task<TaggedReply> BackendConnection::run_secret(base::Secret text) {
  if (lost_) throw net::ConnectionLost(net::Side::kBackend, lost_reason_);
  const auto tag = next_tag();
  auto command = wire::write_command(tag, text.view(), literal_form());
  const Wiper wiper(command.pieces);
  assert(!command.pieces.empty() && "the proxy's own commands are well-formed");
  PendingReply pending(*this);
  if (command.pieces.size() > 1) command_begun();
  send(tag, command.pieces.front(), pending);
  times_answer_ = false;  // to wrong passwords, servers answer slowly on purpose
  for (size_t i = 1; i < command.pieces.size(); ++i) {
    auto go = co_await continuation(tag);
    if (go == Go::kAnswered) break;
    send_more(command.pieces[i]);
  }
  command_completed();
  auto reply = co_await pending.wait();
  co_return reply;
}

Task<TaggedReply> BackendConnection::authenticate(std::string mechanism, std::string_view message,
                                                  std::string& challenge) {
  const auto tag = next_tag();
  PendingReply pending(*this);
  const bool at_once = capabilities_.has("SASL-IR");
  const std::string head = tag + " AUTHENTICATE " + mechanism;
  if (at_once) {
    std::string line;
    line.reserve(head.size() + message.size() + 3);  // one buffer, so that one wipe is enough
    line.append(head).append(" ").append(message).append("\r\n");
    send(tag, line, pending);
    times_answer_ = false;
    base::wipe(line);
  } else {
    send(tag, head + "\r\n", pending);
    times_answer_ = false;
    auto go = co_await continuation(tag);
    if (go == Go::kContinue) {
      send_more(message);
      send_more("\r\n");
    }
  }
  // A server that refuses an OAuth token explains first, and wants an answer before it says NO.
  auto go = co_await continuation(tag, &challenge);
  if (go == Go::kContinue)
    send_more(mechanism == "OAUTHBEARER" ? "AQ==\r\n" : mechanism == "XOAUTH2" ? "\r\n" : "*\r\n");
  auto reply = co_await pending.wait();
  co_return reply;
}

std::string BackendConnection::next_tag() {
  std::array<char, 24> tag{'m'};
  return {tag.data(), std::to_chars(tag.data() + 1, tag.data() + tag.size(), ++tags_).ptr};
}

void BackendConnection::send(const std::string& tag, std::string_view octets, Completion& completion) {
  if (expect(tag, completion)) stream_->write(octets);
}

void BackendConnection::send_line(const std::string& tag, std::string_view text, Completion& completion) {
  if (expect(tag, completion)) stream_->write_all({tag, " ", text, "\r\n"});
}

bool BackendConnection::expect(const std::string& tag, Completion& completion) {
  if (lost_) {
    completion.on_lost(lost_reason_);
    return false;
  }
  if (in_flight_.empty()) {
    asked_at_ = scheduler_.now();
    times_answer_ = true;
  }
  in_flight_.push_back({tag, &completion});
  watch();
  return true;
}

void BackendConnection::send_more(std::string_view octets) {
  if (lost_) return;
  stream_->write(octets);
  last_heard_ = scheduler_.now();  // a long upload is no silence of the server
}

Task<BackendConnection::Go> BackendConnection::continuation(const std::string& tag, std::string* text) {
  for (;;) {
    if (lost_) throw net::ConnectionLost(net::Side::kBackend, lost_reason_);
    if (continuations_ > 0) {
      --continuations_;
      if (text) *text = continuation_text_;
      co_return Go::kContinue;
    }
    const bool waiting = std::any_of(in_flight_.begin(), in_flight_.end(),
                                     [&](const InFlight& command) { return command.tag == tag; });
    if (!waiting) co_return Go::kAnswered;
    co_await changed_.wait();
  }
}

void BackendConnection::forget(Completion& completion) {
  for (auto& command : in_flight_)
    if (command.completion == &completion) command.completion = nullptr;
}

void BackendConnection::pause() {
  if (paused_ || lost_ || !stream_) return;
  paused_ = true;
  stream_->stop_reading();
}

void BackendConnection::resume() {
  if (!paused_ || lost_ || !stream_) return;
  paused_ = false;
  last_heard_ = scheduler_.now();
  stream_->start_reading();
}

std::string_view BackendConnection::why_not_reusable() const {
  if (lost_) return lost_reason_;
  if (closing_) return "it is being closed";
  if (!in_flight_.empty()) return "a command is not answered yet";
  if (mid_command_) return "a command is not complete";
  if (silent_) return "it idles";
  if (surprised_) return "the server answered what nobody had asked";
  return {};
}

void BackendConnection::expect_silence() {
  silent_ = true;
}

void BackendConnection::expect_answers() {
  silent_ = false;
  last_heard_ = scheduler_.now();
  watch();
}

wire::LiteralForm BackendConnection::literal_form() const {
  return capabilities_.literal_plus() ? wire::LiteralForm::kPlus : wire::LiteralForm::kSynchronising;
}

void BackendConnection::go_on() {
  stopped_ = stop_after_answer_ = false;
  const std::string rest = std::exchange(rest_, {});
  parse(rest);
}

std::unique_ptr<net::Stream> BackendConnection::take_stream() {
  if (stream_) {
    stream_->set_handler(nullptr);
    stream_->stop_reading();
  }
  timer_.stop();
  return std::move(stream_);
}

void BackendConnection::set_stream(std::unique_ptr<net::Stream> stream) {
  stream_ = std::move(stream);
  parser_ = ResponseParser();  // what came in the clear behind STARTTLS's OK is not to be believed
  rest_.clear();
  stopped_ = false;
  stop_after_answer_ = false;
  stream_->set_handler(this);
  stream_->start_reading();
}

base::Millis BackendConnection::left_until(base::Instant deadline) const {
  return std::chrono::duration_cast<base::Millis>(deadline - scheduler_.now());
}

Task<> BackendConnection::close(base::Millis limit, base::Millis busy) {
  if (lost_ || !stream_) co_return;
  closing_ = true;
  const bool idling = silent_;
  expect_answers();
  pause();  // a paused connection is read again, into nobody's hands
  resume();
  observer_ = nullptr;
  const auto deadline = scheduler_.now() + limit;
  if (!mid_command_) {
    if (idling) {  // RFC 2177: nothing but DONE, and the next command behind IDLE's end
      stream_->write("DONE\r\n");
      while (!lost_ && !in_flight_.empty() && scheduler_.now() < deadline)
        co_await async::Wait(&changed_, left_until(deadline), async::Wait::Shield::kYes);
    }
    if (!lost_) stream_->write(next_tag() + " LOGOUT\r\n");
    while (!lost_ && scheduler_.now() < deadline)
      co_await async::Wait(&changed_, left_until(deadline), async::Wait::Shield::kYes);
  }
  if (!lost_) stream_->finish();
  const auto last = scheduler_.now() + busy;
  while (!lost_ && scheduler_.now() < last)
    co_await async::Wait(&changed_, left_until(last), async::Wait::Shield::kYes);
  abort();
}

void BackendConnection::abort(const std::string& reason) {
  if (stream_) stream_->abort();
  fail(reason);
}

void BackendConnection::on_data(std::string_view chunk) noexcept {
  last_heard_ = scheduler_.now();
  if (std::exchange(times_answer_, false) && server)
    server->answer_time.note(std::chrono::duration_cast<base::Millis>(last_heard_ - asked_at_), last_heard_);
  if (stopped_) {
    rest_.append(chunk);
    return;
  }
  parse(chunk);
}

void BackendConnection::parse(std::string_view chunk) {
  while (!lost_) {
    if (stopped_) {
      rest_.append(chunk);
      return;
    }
    switch (parser_.next(chunk)) {
      case ResponseParser::Event::kNeedMore:
        return;
      case ResponseParser::Event::kResponse:
        dispatch(parser_.response());
        break;
      case ResponseParser::Event::kLiteralData:
        if (observer_) observer_->on_literal(parser_.data());
        break;
      case ResponseParser::Event::kText:
        if (observer_) observer_->on_text(parser_.text(), literal_after(parser_.more_literal()));
        break;
      case ResponseParser::Event::kMalformed:
        fail("the server can't be understood: " + parser_.problem());
        return;
    }
  }
}

std::optional<LiteralStart> BackendConnection::literal_after(bool follows) const {
  if (!follows) return std::nullopt;
  return LiteralStart{parser_.literal_size(), parser_.literal8()};
}

void BackendConnection::dispatch(const Response& response) {
  switch (response.kind) {
    case Response::Kind::kContinuation:
      if (in_flight_.empty()) {  // it must not count for a literal that is sent later
        surprised_ = true;
        break;
      }
      ++continuations_;
      continuation_text_ = response.arguments;
      changed_.notify_all();
      break;
    case Response::Kind::kTagged:
      dispatch_tagged(response);
      break;
    case Response::Kind::kUntagged:
      dispatch_untagged(response);
      break;
  }
}

void BackendConnection::dispatch_tagged(const Response& response) {
  if (server) server->health.heard(scheduler_.now());
  const auto found = std::find_if(in_flight_.begin(), in_flight_.end(),
                                  [&](const InFlight& command) { return command.tag == response.tag; });
  if (found == in_flight_.end()) {
    surprised_ = surprised_ || !closing_;  // else it is LOGOUT's
    return;
  }
  Completion* completion = found->completion;
  in_flight_.erase(found);
  if (in_flight_.empty()) {
    continuations_ = 0;
    if (stop_after_answer_) stopped_ = true;
  }
  if (completion) completion->on_tagged(response);
  changed_.notify_all();
}

void BackendConnection::dispatch_untagged(const Response& response) {
  if (!greeted_.is_set()) {
    greeting_ = response.arguments;
    preauth_ = response.name == ResponseName::kPreauth;
    if (base::equals_ignore_case(response.code, "CAPABILITY"))
      capabilities_ = Capabilities(response.code_arguments);
    if (response.name == ResponseName::kBye) {
      fail("refused: " + std::string(response.arguments));
    } else if (response.name != ResponseName::kOk && !preauth_) {
      fail("no IMAP greeting");
    } else {
      greeted_.set();
    }
    return;
  }
  if (response.name == ResponseName::kBye && !closing_) {
    fail("the server said BYE: " + std::string(response.arguments));
    return;
  }
  if (response.name == ResponseName::kCapability) {
    capabilities_ = Capabilities(response.arguments);
    return;
  }
  if (observer_) observer_->on_untagged(response, literal_after(response.literal_follows));
}

void BackendConnection::on_eof() noexcept {
  fail("closed by the server");
}

void BackendConnection::on_lost(const std::string& reason) noexcept {
  fail(reason);
}

void BackendConnection::on_drained() noexcept {
  if (observer_) observer_->on_backend_drained();
}

void BackendConnection::fail(const std::string& reason) {
  if (lost_) return;
  lost_ = true;
  lost_reason_ = reason;
  timer_.stop();
  if (stream_) stream_->stop_reading();
  greeted_.set();
  changed_.notify_all();
  while (!in_flight_.empty()) {
    auto* completion = in_flight_.front().completion;
    in_flight_.pop_front();
    if (completion) completion->on_lost(reason);
  }
  if (observer_) observer_->on_backend_lost(reason);
}

void BackendConnection::watch() {
  if (silent_ || in_flight_.empty()) return;
  if (in_flight_.size() == 1) last_heard_ = scheduler_.now();
  // It is not stopped between commands, which would cost more than to look once too often.
  if (!timer_.active()) timer_.start(command_timeout_);
}

void BackendConnection::timed_out() {
  if (silent_ || in_flight_.empty()) return;
  const auto quiet = std::chrono::duration_cast<base::Millis>(scheduler_.now() - last_heard_);
  if (!paused_ && quiet >= command_timeout_) {
    if (stream_) stream_->abort();
    fail("no answer within " + std::to_string(command_timeout_.count() / 1000) + " s");
    return;
  }
  timer_.start(paused_ ? command_timeout_ : command_timeout_ - quiet);
}

}  // namespace imapmux::backend
