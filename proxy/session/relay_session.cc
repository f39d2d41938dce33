#include "session/relay_session.h"

#include <algorithm>
#include <cstring>

#include "session/capability_list.h"

namespace imapmux::session {
namespace {

using async::Task;

// How long a backend may go on answering when the client has finished sending.
constexpr base::Millis kAfterEof{30'000};
constexpr base::Millis kCloseLimit{2'000};

}  // namespace

RelaySession::RelaySession(ClientSession& client, Seat seat, std::string tag)
    : client_(client), seat_(std::move(seat)), tag_(std::move(tag)) {}

// Of the connection that was logged in, only what a relay needs is kept: the parser and the queues go.
void RelaySession::begin() {
  const auto connection = std::move(seat_.connection);
  permit_ = std::move(connection->permit);
  stay_ = std::move(connection->stay);
  server_ = connection->server;
  client_.writer().tagged(
      tag_,
      "OK [CAPABILITY " + relayed_capabilities(connection->capabilities(), *seat_.backend) + "] Logged in");
  client_.command_answered();
  const std::string rest = connection->take_rest();
  backend_ = connection->take_stream();
  backend_->set_handler(this);
  backend_->start_reading();
  if (!rest.empty()) to_client(rest);
  const std::string unread = client_.reader().start_relaying();
  if (!unread.empty()) to_backend(unread);
  client_.reader().splice_with(*backend_);
  if (client_.reader().eof()) on_client_eof();
  if (connection->lost()) on_lost(connection->lost_reason());
}

Task<> RelaySession::serve() {
  begin();
  co_await ended_.wait();
  if (!backend_problem_.empty()) {
    client_.say_bye("[UNAVAILABLE] The mail server has gone");
    client_.end(backend_problem_);
  } else if (client_.stopping()) {
    client_.say_bye("[UNAVAILABLE] The proxy is shutting down");
    client_.end("shutdown");
  }
}

// A LOGOUT could land inside a literal, so closing is all that can be done; the places are given back when
// the backend has closed as well.
Task<> RelaySession::finish() {
  if (!backend_) co_return;
  finishing_ = true;
  backend_->finish();
  backend_->start_reading();
  if (!backend_closed_.is_set()) co_await backend_closed_.wait_for(kCloseLimit);
  backend_->set_handler(nullptr);
  backend_.reset();
}

void RelaySession::to_client(std::string_view octets) {
  client_.writer().pass_through(octets);
  remember(octets);
  if (client_.stopping() && may_speak()) ended_.set();
  if (client_.writer().unsent() > net::Stream::kHighWatermark) backend_->stop_reading();
}

void RelaySession::remember(std::string_view octets) {
  static_assert(net::Stream::kSeen >= std::tuple_size_v<decltype(tail_)>, "the end of a run is remembered");
  const auto last = octets.substr(octets.size() - std::min(octets.size(), tail_.size()));
  const size_t kept = std::min(tail_size_, tail_.size() - last.size());
  std::memmove(tail_.data(), tail_.data() + tail_size_ - kept, kept);
  std::memcpy(tail_.data() + kept, last.data(), last.size());
  tail_size_ = kept + last.size();
}

bool RelaySession::was_told_bye() const {
  const std::string_view tail(tail_.data(), tail_size_);
  return tail.starts_with("* BYE") || tail.find("\n* BYE") != std::string_view::npos;
}

void RelaySession::to_backend(std::string_view octets) {
  backend_->write_through(octets);
  if (backend_->unsent() > net::Stream::kHighWatermark) client_.reader().pause_relay();
}

void RelaySession::on_client_octets(std::string_view octets) noexcept {
  if (backend_) to_backend(octets);
}

void RelaySession::on_client_eof() noexcept {
  if (!backend_) return;
  backend_->finish();
  client_.limit_rest(kAfterEof);
}

void RelaySession::on_client_drained() noexcept {
  if (backend_) backend_->start_reading();
}

void RelaySession::on_data(std::string_view chunk) noexcept {
  if (finishing_) return;
  heard();
  to_client(chunk);
}

void RelaySession::on_spliced(size_t octets) noexcept {
  heard();
  client_.writer().passed_unseen(octets);
  // The client is in the middle of something until the end of the run is seen.
  tail_[0] = '?';
  tail_size_ = 1;
}

void RelaySession::heard() {
  if (server_) server_->health.heard(client_.host().scheduler().now());
}

void RelaySession::on_eof() noexcept {
  on_lost("closed by the server");
}

void RelaySession::on_lost(const std::string& reason) noexcept {
  backend_closed_.set();
  if (!was_told_bye() && !client_.reader().eof()) backend_problem_ = reason;
  ended_.set();
}

void RelaySession::on_drained() noexcept {
  client_.reader().resume_relay();
}

void RelaySession::on_shut_down() noexcept {
  if (may_speak()) ended_.set();  // else at the end of the response, or when the grace is over
}

// Responses are not parsed here; but the last line tells whether it can be the end of one.
bool RelaySession::may_speak() const {
  std::string_view tail(tail_.data(), tail_size_);
  if (tail.empty()) return true;
  if (!tail.ends_with("\r\n") || tail.ends_with("}\r\n")) return false;
  tail.remove_suffix(2);
  const auto last = tail.substr(tail.rfind('\n') == std::string_view::npos ? 0 : tail.rfind('\n') + 1);
  const auto word = last.substr(std::min(last.find(' '), last.size()));
  return last.starts_with("* ") || last.starts_with("+ ") || word.starts_with(" OK ") ||
         word.starts_with(" NO ") || word.starts_with(" BAD ");
}

}  // namespace imapmux::session
