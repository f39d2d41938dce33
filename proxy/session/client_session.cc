#include "session/client_session.h"

#include <cassert>

#include "base/log.h"
#include "base/log_event.h"
#include "net/proxy_header.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Millis;
using wire::Verb;

using base::log::Event;
using base::log::Level;
Event refused_event{Level::kInfo, "client refused", Event::Volume::kLimited};
Event handshake_event{Level::kInfo, "TLS handshake failed", Event::Volume::kLimited};
Event ended_event{Level::kInfo, "session ended"};
Event stranger_event{Level::kInfo, "session ended", Event::Volume::kLimited};  // who never logged in
Event silent_event{Level::kDebug, "session ended"};  // load balancers look whether somebody is at home

Event slow_event{Level::kWarn, "slow command", Event::Volume::kLimited};

constexpr Millis kSlow{10'000};
constexpr Millis kHandshakeLimit{30'000};
constexpr size_t kLiteralBeforeLogin = 8 * 1024;

wire::CommandLimits limits_before_login(const config::Config& config) {
  return {.max_command = std::min<size_t>(config.limits.max_command_size, 16 * 1024),
          .max_literal = kLiteralBeforeLogin};
}

[[maybe_unused]] bool may_follow(State from, State to) {
  switch (to) {
    case State::kConnected:
      return false;
    case State::kNotAuthenticated:
      return from == State::kConnected || from == State::kAuthenticating;
    case State::kAuthenticating:
      return from == State::kNotAuthenticated || from == State::kConnected;
    case State::kAuthenticated:
      return from == State::kAuthenticating || from == State::kSelected;
    case State::kSelected:
      return from == State::kAuthenticated;
    case State::kRelaying:
      return from == State::kAuthenticating;
    case State::kLogout:
      return from != State::kLogout;
  }
  return false;
}

}  // namespace

ClientSession::ClientSession(Host& host, ServicePtr service, const config::Listener& listener,
                             std::unique_ptr<net::Stream> stream, ClientPlaces places)
    : host_(host),
      service_(std::move(service)),
      greeted_by_(service_),
      listener_(&listener),
      id_(host.shared().session_ids.fetch_add(1) + 1),
      places_(std::move(places)),
      stream_(std::move(stream)),
      reader_(*this, limits_before_login(config())),
      scope_(host.scheduler()),
      timer_(host.scheduler(), [this] { on_timer(); }),
      connected_at_(host.scheduler().now()),
      last_heard_(connected_at_),
      begun_at_(connected_at_) {
  label_ = fmt::format("{:x} {}", id_, stream_->peer().to_string());
}

ClientSession::ClientSession(Host& host, std::unique_ptr<HandedOver> client)
    : host_(host),
      service_(client->service),
      greeted_by_(client->greeted_by),
      listener_(client->listener),
      id_(client->id),
      places_(std::move(client->places)),
      reader_(*this, limits_before_login(config())),
      scope_(host.scheduler()),
      timer_(host.scheduler(), [this] { on_timer(); }),
      connected_at_(client->connected_at),
      last_heard_(host.scheduler().now()),
      begun_at_(last_heard_),
      adopted_(true),
      hand_over_(std::move(client)) {
  stream_ = host.adopt(*hand_over_);
  writer_.set_stream(stream_.get());
  label_ = fmt::format("{:x} {}", id_, stream_->peer().to_string());
}

ClientSession::~ClientSession() {
  if (stream_) stream_->set_handler(nullptr);
}

void ClientSession::enter(State state) {
  if (state == state_) return;
  assert(may_follow(state_, state) && "a transition that is in no state machine of RFC 3501");
  base::log::debug("session {}: {} -> {}", label_, name_of(state_), name_of(state));
  state_ = state;
  // Before the client hears that it is logged out: it may be back at once.
  if (state == State::kLogout) places_.of_user = {};
}

Task<> ClientSession::run() {
  scope_.spawn(converse());
  co_await scope_.join();
  timer_.stop();
  if (has_left()) co_return;
  places_.of_user = {};
  if (stream_) {
    // The client need not wait for what the backend takes to close.
    stream_->set_handler(nullptr);
    reader_.detach();
    writer_.set_stream(nullptr);
    stream_.reset();
  }
  if (after_login_) co_await after_login_->finish();
  const bool said_something = state_ != State::kConnected && (!user_.empty() || commands_ > 0);
  Event& event = after_login_ ? ended_event : said_something ? stranger_event : silent_event;
  log(event, {{"commands", commands_},
              {"received", reader_.received()},
              {"sent", writer_.sent()},
              {"duration", std::chrono::duration_cast<Millis>(host_.scheduler().now() - connected_at_)},
              {"reason", end_reason_}});
}

Task<> ClientSession::converse() {
  try {
    co_await talk();
  } catch (const net::ConnectionLost& lost) {
    if (end_reason_.empty()) end_reason_ = lost.what();
    if (lost.side() == net::Side::kBackend && !said_bye_) say_bye(kByeServerGone);
  }
}

Task<> ClientSession::talk() {
  // Counted from the connection's beginning, however often it was handed over.
  const auto spent = std::chrono::duration_cast<Millis>(host_.scheduler().now() - connected_at_);
  timer_.start(std::max(Millis(0), config().limits.login_timeout - spent));
  if (!adopted_ && is_proxied()) co_await learn_peer();
  begin_trace("");
  if (adopted_) {
    co_await go_on_with_login();
  } else {
    if (!admit()) co_return;
    if (listener_->tls == config::ListenerTls::kImplicit) co_await start_tls_now();
    writer_.set_stream(stream_.get());
    reader_.set_stream(stream_.get());
    greet();
    enter(State::kNotAuthenticated);
  }
  co_await before_login();
  if (has_left()) co_return;
  if (after_login_) {
    timer_.start(config().limits.idle_timeout);
    co_await after_login_->serve();
  }
  if (stopping_) say_bye(kByeShutdown);
}

// Of a client that was handed over. In a frame of its own: that of talk() lasts as long as the client.
Task<> ClientSession::go_on_with_login() {
  writer_.set_stream(stream_.get());
  const auto came = std::move(hand_over_);
  commands_ = came->commands;
  writer_.go_on_from(came->sent);
  reader_.go_on_from(came->received, std::move(came->unread));
  // Until the login is decided, what comes is held: the reader is put where LOGIN left it.
  reader_.hold();
  reader_.set_stream(stream_.get());
  const bool by_login = came->credential.mechanism == config::Mechanism::kLogin;
  command_begins(by_login ? Verb::kLogin : Verb::kAuthenticate);
  enter(State::kAuthenticating);
  user_ = std::move(came->user);
  attempts_ = came->attempts;
  begin_trace(user_);
  Login login{.tag = std::move(came->tag),
              .credential = std::move(came->credential),
              .target = std::move(came->target)};
  co_await open_backend(login);
}

// Whether the peer is a proxy in front of this one, which says first who the client is.
bool ClientSession::is_proxied() const {
  const auto address = stream_->peer().address;
  return address && base::any_contains(listener_->proxy_protocol, *address);
}

Task<> ClientSession::learn_peer() {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast): see the constructor
  auto& tcp = static_cast<net::TcpStream&>(*stream_);
  awaited_ = "PROXY header";
  try {
    co_await net::receive_proxy_header(tcp);
  } catch (const net::ConnectionLost& lost) {
    log(refused_event, {{"listener", listener_->name}, {"reason", lost.what()}});
    throw;
  }
  awaited_ = kHandshake;
  const auto proxy = std::exchange(label_, fmt::format("{:x} {}", id_, stream_->peer().to_string()));
  base::log::debug("session {}: was {}", label_, proxy);
}

Task<> ClientSession::start_tls_now() {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-static-cast-downcast): see the constructor
  std::unique_ptr<net::TcpStream> below(static_cast<net::TcpStream*>(stream_.release()));
  const auto& server = greeted_by_->listener_tls.at(listener_->name);
  auto tls = std::make_unique<net::TlsStream>(std::move(below), server->open(), server);
  auto* handshaking = tls.get();
  stream_ = std::move(tls);
  try {
    co_await handshaking->handshake(std::min(kHandshakeLimit, config().limits.login_timeout));
  } catch (const net::ConnectionLost& lost) {
    log(handshake_event, {{"listener", listener_->name}, {"reason", lost.what()}});
    throw;
  }
}

Task<> ClientSession::start_tls(const Entry& entry) {
  if (listener_->tls != config::ListenerTls::kStarttls || stream_->peer().tls) {
    writer_.tagged(entry.command.tag, "BAD STARTTLS is not available now");
    reader_.expect_commands();
    co_return;
  }
  reader_.discard();
  writer_.tagged(entry.command.tag, "OK Begin TLS now");
  writer_.set_stream(nullptr);  // not a word in the clear from here on
  stream_->set_handler(nullptr);
  co_await start_tls_now();
  reader_.set_stream(stream_.get());
  writer_.set_stream(stream_.get());
  reader_.expect_commands();
}

// Whether there is room for one more client of this address. If not, that is said instead of a greeting
// (RFC 3501, 7.1.5), unless TLS comes first: before its handshake nothing can be said.
bool ClientSession::admit() {
  const auto address = counted_address();
  if (!address) return true;
  const auto most = config().limits.max_clients_per_address;
  if (auto place = host_.shared().clients_of_address.take(address->party(), most)) {
    places_.of_address = std::move(*place);
    return true;
  }
  host_.shared().counters.clients_refused.fetch_add(1, std::memory_order_relaxed);
  log(refused_event, {{"listener", listener_->name}, {"reason", "max_clients_per_address"}, {"limit", most}});
  if (listener_->tls != config::ListenerTls::kImplicit) {
    writer_.set_stream(stream_.get());
    writer_.untagged("BYE [UNAVAILABLE] Too many connections from your address");
  }
  return false;
}

void ClientSession::greet() {
  writer_.untagged("OK [CAPABILITY " + capabilities_before_login() + "] imapmux ready");
}

bool ClientSession::login_allowed() const {
  if (stream_->peer().tls || listener_->tls == config::ListenerTls::kNone) return true;
  switch (listener_->allow_plaintext_login) {
    case config::PlaintextLogin::kNever:
      return false;
    case config::PlaintextLogin::kLoopback:
      return stream_->peer().is_loopback();
    case config::PlaintextLogin::kAlways:
      return true;
  }
  return false;
}

std::string ClientSession::capabilities_before_login() const {
  std::string list = "IMAP4rev1 SASL-IR";
  // Clients that do not ask again after login would take these as the backend's behind a relay.
  if (!service_->any_unrestricted) list += " LITERAL+ ID";
  if (listener_->tls == config::ListenerTls::kStarttls && !stream_->peer().tls) list += " STARTTLS";
  if (!login_allowed()) return list + " LOGINDISABLED";
  if (listener_->auth_plain) list += " AUTH=PLAIN";
  if (listener_->auth_login) list += " AUTH=LOGIN";
  if (listener_->auth_xoauth2) list += " AUTH=XOAUTH2";
  if (listener_->auth_oauthbearer) list += " AUTH=OAUTHBEARER";
  return list;
}

void ClientSession::command_begins(Verb verb) {
  verb_ = verb;
  begun_at_ = host_.scheduler().now();
  under_way_ = true;
}

void ClientSession::command_answered() {
  if (std::exchange(under_way_, false)) answered(verb_, begun_at_);
}

void ClientSession::answered(Verb verb, base::Instant begun_at) {
  const auto took = std::chrono::duration_cast<Millis>(host_.scheduler().now() - begun_at);
  Meter::answered(verb, took);
  // IDLE lasts as long as the client likes; a login tells itself how long it took.
  const bool may_last = verb == Verb::kIdle || verb == Verb::kLogin || verb == Verb::kAuthenticate;
  if (took >= kSlow && !may_last)
    log(slow_event, {{"command", wire::info(verb).name}, {"mailbox", mailbox_}, {"took", took}});
}

Task<bool> ClientSession::next(Entry& entry) {
  command_answered();
  if (!has_room()) co_await wait_for_room();
  for (;;) {
    while (reader_.empty() && !stopping_) co_await reader_.arrivals().wait();
    if (stopping_) co_return false;
    reader_.take(entry);
    switch (entry.kind) {
      case Entry::Kind::kEnd:
        if (end_reason_.empty()) end_reason_ = "closed by the client";
        co_return false;
      case Entry::Kind::kTooLong:
        if (!entry.text.empty())
          writer_.tagged(entry.command.tag.empty() ? "*" : entry.command.tag, "BAD " + entry.text);
        say_bye("Your command is too long");
        co_return false;
      case Entry::Kind::kBad:
        writer_.tagged(entry.command.tag.empty() ? "*" : entry.command.tag, "BAD " + entry.text);
        co_await wait_for_room();
        break;
      case Entry::Kind::kCommand:
      case Entry::Kind::kUpload:
      case Entry::Kind::kLine:
        ++commands_;
        command_begins(entry.command.verb);
        co_return true;
    }
  }
}

Task<> ClientSession::before_login() {
  Entry entry;
  while (!after_login_ && !has_left()) {
    auto more = co_await next(entry);
    if (!more) co_return;
    if (answer_locally(entry)) {
      if (state_ == State::kLogout) co_return;
      continue;
    }
    switch (entry.command.verb) {
      case Verb::kStarttls:
        co_await start_tls(entry);
        break;
      case Verb::kLogin:
        co_await login(entry);
        break;
      case Verb::kAuthenticate:
        co_await authenticate(entry);
        break;
      default:
        if (entry.kind == Entry::Kind::kUpload) {
          // Nobody may upload before he has logged in.
          writer_.tagged(entry.command.tag, "BAD Log in first");
          say_bye("Log in first");
          co_return;
        }
        writer_.tagged(entry.command.tag,
                       entry.command.verb == Verb::kUnknown ? "BAD Unknown command" : "BAD Log in first");
        if (reader_.holding()) reader_.expect_commands();
    }
    if (state_ == State::kLogout) co_return;
  }
}

bool ClientSession::answer_locally(const Entry& entry) {
  const auto& tag = entry.command.tag;
  switch (entry.command.verb) {
    case Verb::kCapability:
      writer_.untagged("CAPABILITY " +
                       (after_login_ ? after_login_->capabilities() : capabilities_before_login()));
      writer_.tagged(tag, "OK CAPABILITY completed");
      return true;
    case Verb::kNoop:
      if (state_ != State::kNotAuthenticated) return false;
      writer_.tagged(tag, "OK NOOP completed");
      return true;
    case Verb::kId:
      writer_.untagged("ID (\"name\" \"imapmux\")");
      writer_.tagged(tag, "OK ID completed");
      return true;
    case Verb::kLogout:
      end_reason_ = "logout";
      writer_.untagged("BYE Logging out");
      writer_.tagged(tag, "OK LOGOUT completed");
      command_answered();
      said_bye_ = true;
      enter(State::kLogout);
      return true;
    default:
      return false;
  }
}

void ClientSession::say_bye(std::string_view text) {
  if (said_bye_) return;
  said_bye_ = true;
  if (end_reason_.empty()) end_reason_ = text;
  writer_.abandon_response();
  // A client that was handed over is past its greeting.
  if (stream_ && (state_ != State::kConnected || adopted_)) writer_.untagged("BYE " + std::string(text));
  enter(State::kLogout);
}

void ClientSession::end(const std::string& reason) {
  if (end_reason_.empty()) end_reason_ = reason;
  scope_.cancel();
}

void ClientSession::shut_down() {
  stopping_ = true;
  if (state_ == State::kConnected && !adopted_) {
    end("shutdown");
    return;
  }
  if (waiting_account_) waiting_account_->stop_waiting();
  reader_.arrivals().notify_all();
  nudges_.notify_all();
}

void ClientSession::cut_off() {
  end_at_once(kByeShutdown, "shutdown");
}

void ClientSession::kick() {
  end_at_once(kByeKicked, "disconnected by the administrator");
}

void ClientSession::end_at_once(std::string_view bye, const std::string& reason) {
  if (state_ != State::kConnected || adopted_) say_bye(bye);
  end(reason);
}

Task<> ClientSession::wait_for_room() {
  while (!has_room()) co_await nudges_.wait();
}

void ClientSession::on_timer() {
  const auto& limits = config().limits;
  if (state_ == State::kConnected) {
    log(refused_event, {{"listener", listener_->name}, {"reason", fmt::format("no {} in time", awaited_)}});
    end("took too long to begin");
    return;
  }
  if (state_ == State::kNotAuthenticated || state_ == State::kAuthenticating) {
    say_bye("You took too long to log in");
    end("login timeout");
    return;
  }
  const auto quiet = std::chrono::duration_cast<Millis>(host_.scheduler().now() - last_heard_);
  if (quiet < limits.idle_timeout) {
    timer_.start(limits.idle_timeout - quiet);
    return;
  }
  say_bye(kByeIdle);
  end("idle for too long");
}

void ClientSession::on_client_data() noexcept {
  last_heard_ = host_.scheduler().now();
}

void ClientSession::on_client_eof() noexcept {
  nudges_.notify_all();
  if (waiting_account_) waiting_account_->stop_waiting();
}

void ClientSession::on_client_lost(const std::string& reason) noexcept {
  end("client lost: " + reason);
}

void ClientSession::on_client_drained() noexcept {
  writer_.drain_backlog();
  last_heard_ = host_.scheduler().now();  // who takes in a long answer is not idle
  nudges_.notify_all();
  if (after_login_) after_login_->on_client_drained();
}

void ClientSession::on_literal_wanted() noexcept {
  writer_.go_ahead("OK");
}

ToldCount ClientSession::told_count() const noexcept {
  return after_login_ ? after_login_->told_count() : ToldCount{};
}

SessionStatus ClientSession::status() const {
  SessionStatus status;
  status.id = id_;
  status.client = stream_ ? stream_->peer().to_string() : "";
  status.listener = listener_->name;
  status.tls = stream_ && stream_->peer().tls;
  status.state = name_of(state_);
  status.user = user_;
  status.backend = backend_name_;
  status.login_name = login_name_;
  status.server = server_name_;
  status.mailbox = mailbox_;
  status.waiting_for = waiting_for_;
  status.commands = commands_;
  status.connected = std::chrono::duration_cast<Millis>(host_.scheduler().now() - connected_at_);
  status.idle = std::chrono::duration_cast<Millis>(host_.scheduler().now() - last_heard_);
  return status;
}

void ClientSession::begin_trace(const std::string& user) {
  const auto& trace = config().trace;
  if (trace_ || !trace.on()) return;
  const auto address = stream_->peer().address;
  const bool right_user = trace.user.empty() || trace.user == user;
  const bool right_client = trace.client.empty() || (address && trace.client == address->to_string());
  if (!right_user || !right_client) return;
  trace_ = std::make_unique<ProtocolTrace>(label_);
  reader_.set_trace(trace_.get());
  writer_.set_trace(trace_.get());
}

void ClientSession::log(Event& event, std::initializer_list<base::log::Field> fields) const {
  if (!event.enabled()) return;
  const std::string_view label = label_;
  const auto space = label.find(' ');
  const base::log::Field about[] = {{"session", label.substr(0, space)},
                                    {"client", label.substr(space + 1)},
                                    {"user", user_},
                                    {"backend", backend_name_},
                                    {"server", server_name_}};
  event.write(about, fields);
}

Millis ClientSession::busy_for() const {
  return std::chrono::duration_cast<Millis>(host_.scheduler().now() - begun_at_);
}

backend::MaybeOrigin ClientSession::origin() const {
  if (!stream_) return std::nullopt;
  return backend::Origin{stream_->ends(), fmt::format("{:x}", id_)};
}

std::optional<base::IpAddress> ClientSession::counted_address() const {
  const auto address = stream_->peer().address;
  if (address && base::any_contains(config().limits.trusted_networks, *address)) return std::nullopt;
  return address;
}

}  // namespace imapmux::session
