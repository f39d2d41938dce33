#include "session/relay.h"

#include <algorithm>
#include <cstring>

#include "base/log_event.h"
#include "session/client_writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Millis;

base::log::Event ended_event{base::log::Level::kInfo, "session ended"};

// How long a backend may say nothing when the client has finished sending.
constexpr Millis kAfterEof{30'000};
constexpr Millis kCloseLimit{2'000};

}  // namespace

Relay::Relay(RelayKeeper& keeper, async::Scheduler& scheduler, Client&& client, Backend&& backend)
    : keeper_(keeper),
      scheduler_(scheduler),
      client_(std::move(client)),
      backend_(std::move(backend)),
      timer_(scheduler, [this] { on_timer(); }),
      last_heard_(scheduler.now()) {}

Relay::~Relay() {
  if (client_.stream) client_.stream->set_handler(nullptr);
  if (backend_.stream) backend_.stream->set_handler(nullptr);
}

void Relay::begin(std::string_view from_client, std::string_view from_backend) {
  timer_.start(client_.idle_timeout);
  client_.stream->set_handler(&client_end_);
  client_.stream->start_reading();
  backend_.stream->set_handler(&backend_end_);
  backend_.stream->start_reading();
  if (!from_backend.empty()) to_client(from_backend);
  if (!from_client.empty()) to_backend(from_client);
  if (!client_.trace) {  // which must see it all
    client_.stream->splice_to(*backend_.stream);
    backend_.stream->splice_to(*client_.stream);
  }
  if (client_.has_finished) client_has_finished();
}

// A LOGOUT could land inside a literal, so closing is all that can be done; the places are given back when
// the backend has closed as well.
Task<> Relay::finish() {
  timer_.stop();
  client_.places.of_user = {};  // before the client hears that it is logged out: it may be back at once
  const auto client = ended_event.enabled() ? client_name() : std::string();
  say_bye();
  // The client need not wait for what the backend takes to close.
  client_.stream->set_handler(nullptr);
  client_.stream.reset();
  backend_.stream->finish();
  backend_.stream->start_reading();
  if (!backend_closed_.is_set()) co_await backend_closed_.wait_for(kCloseLimit);
  backend_.stream->set_handler(nullptr);
  backend_.stream.reset();
  log_end(client);
}

void Relay::to_client(std::string_view octets) {
  if (client_.trace) client_.trace->client_got(octets);
  client_.sent += octets.size();
  client_.stream->write_through(octets);
  remember(octets);
  if (stopping_) shut_down();
  if (client_.stream->unsent() > net::Stream::kHighWatermark) backend_.stream->stop_reading();
}

void Relay::to_backend(std::string_view octets) {
  backend_.stream->write_through(octets);
  if (backend_.stream->unsent() > net::Stream::kHighWatermark) client_.stream->stop_reading();
}

void Relay::ClientEnd::on_data(std::string_view chunk) noexcept {
  if (const auto& trace = relay.client_.trace) trace->client_said(chunk);
  relay.heard_client(chunk.size());
  relay.to_backend(chunk);
}

void Relay::ClientEnd::on_drained() noexcept {
  relay.last_heard_ = relay.scheduler_.now();  // who takes in a long answer is not idle
  relay.backend_.stream->start_reading();
}

void Relay::heard_client(size_t octets) {
  last_heard_ = scheduler_.now();
  client_.received += octets;
}

void Relay::client_has_finished() {
  client_.has_finished = true;
  backend_.stream->finish();
  last_heard_ = scheduler_.now();
  timer_.start(kAfterEof);
}

void Relay::BackendEnd::on_data(std::string_view chunk) noexcept {
  if (!relay.client_.stream) return;
  relay.heard_backend();
  relay.to_client(chunk);
}

void Relay::BackendEnd::on_spliced(size_t octets) noexcept {
  relay.heard_backend();
  relay.client_.sent += octets;
  // The client is in the middle of something until the end of the run is seen.
  relay.tail_[0] = '?';
  relay.tail_size_ = 1;
}

void Relay::BackendEnd::on_drained() noexcept {
  if (relay.client_.stream) relay.client_.stream->start_reading();
}

void Relay::heard_backend() {
  const auto now = scheduler_.now();
  backend_.server->health.heard(now);
  if (client_.has_finished) last_heard_ = now;  // it can only listen
}

void Relay::backend_lost(const std::string& reason) {
  backend_closed_.set();
  if (client_.has_finished) {
    end("closed by the client", {});
  } else {
    end(reason, was_told_bye() ? std::string_view() : kByeServerGone);
  }
}

void Relay::remember(std::string_view octets) {
  static_assert(net::Stream::kSeen >= std::tuple_size_v<decltype(tail_)>, "the end of a run is remembered");
  const auto last = octets.substr(octets.size() - std::min(octets.size(), tail_.size()));
  const size_t kept = std::min<size_t>(tail_size_, tail_.size() - last.size());
  std::memmove(tail_.data(), tail_.data() + tail_size_ - kept, kept);
  std::memcpy(tail_.data() + kept, last.data(), last.size());
  tail_size_ = static_cast<uint8_t>(kept + last.size());
}

bool Relay::was_told_bye() const {
  return tail().starts_with("* BYE") || tail().find("\n* BYE") != std::string_view::npos;
}

// Responses are not parsed here; but the last line tells whether it can be the end of one.
bool Relay::may_speak() const {
  auto text = tail();
  if (text.empty()) return true;
  if (!text.ends_with("\r\n") || text.ends_with("}\r\n")) return false;
  text.remove_suffix(2);
  const auto last = text.substr(text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1);
  const auto word = last.substr(std::min(last.find(' '), last.size()));
  return last.starts_with("* ") || last.starts_with("+ ") || word.starts_with(" OK ") ||
         word.starts_with(" NO ") || word.starts_with(" BAD ");
}

// In the middle of a response: at its end, or when the grace is over.
void Relay::shut_down() {
  stopping_ = true;
  if (may_speak()) end(std::string(kByeShutdown), kByeShutdown);
}

void Relay::end(std::string reason, std::string_view bye) {
  if (ending_) return;
  ending_ = std::make_unique<Ending>(std::move(reason), bye);
  keeper_.relay_ended(*this);
}

void Relay::say_bye() {
  if (ending_->bye.empty() || !may_speak()) return;
  ClientWriter writer;
  writer.set_stream(client_.stream.get());
  writer.set_trace(client_.trace.get());
  writer.untagged("BYE " + std::string(ending_->bye));
  client_.sent += writer.sent();
}

void Relay::on_timer() {
  const auto quiet = std::chrono::duration_cast<Millis>(scheduler_.now() - last_heard_);
  const auto patience = client_.has_finished ? kAfterEof : client_.idle_timeout;
  if (quiet < patience) {
    timer_.start(patience - quiet);
  } else {
    end(std::string(kByeIdle), kByeIdle);
  }
}

std::string Relay::client_name() const {
  return client_.stream ? client_.stream->peer().to_string() : std::string();
}

SessionStatus Relay::status() const {
  SessionStatus status;
  status.id = client_.id;
  status.client = client_name();
  status.listener = client_.listener->name;
  status.tls = client_.stream && client_.stream->peer().tls;
  status.state = name_of(state());
  status.user = user();
  status.backend = backend_name();
  status.login_name = login_name();
  status.server = server_name();
  status.commands = client_.commands;
  status.connected = std::chrono::duration_cast<Millis>(scheduler_.now() - client_.connected_at);
  status.idle = std::chrono::duration_cast<Millis>(scheduler_.now() - last_heard_);
  return status;
}

void Relay::log_end(std::string_view client) const {
  if (!ended_event.enabled()) return;
  const auto id = fmt::format("{:x}", client_.id);
  const auto server = server_name();
  const auto lasted = std::chrono::duration_cast<Millis>(scheduler_.now() - client_.connected_at);
  const base::log::Field about[] = {{"session", id},
                                    {"client", client},
                                    {"user", client_.user},
                                    {"backend", backend_name()},
                                    {"server", server}};
  ended_event.write(about, {{"commands", uint64_t{client_.commands}},
                            {"received", client_.received},
                            {"sent", client_.sent},
                            {"duration", lasted},
                            {"reason", ending_->reason}});
}

}  // namespace imapmux::session
