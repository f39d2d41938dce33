// LOGIN and AUTHENTICATE: who the client is, and which worker owns the account.
#include "base/log_event.h"
#include "routing/router.h"
#include "session/client_session.h"

namespace imapmux::session {
namespace {

using async::Task;
using base::Secret;
using config::Mechanism;

base::log::Event refused_event{base::log::Level::kInfo, "login refused", base::log::Event::Volume::kLimited};

bool offers(const config::Listener& listener, std::string_view mechanism) {
  if (mechanism == "PLAIN") return listener.auth_plain;
  if (mechanism == "LOGIN") return listener.auth_login;
  if (mechanism == "XOAUTH2") return listener.auth_xoauth2;
  if (mechanism == "OAUTHBEARER") return listener.auth_oauthbearer;
  return false;
}

std::optional<auth::Credential> parse_message(std::string_view mechanism, std::string_view encoded) {
  const auto message = auth::decode_base64(encoded);
  if (!message) return std::nullopt;
  if (mechanism == "PLAIN") return auth::parse_plain(message->view());
  if (mechanism == "XOAUTH2") return auth::parse_xoauth2(message->view());
  return auth::parse_oauthbearer(message->view());
}

}  // namespace

Task<> ClientSession::login(const Entry& entry) {
  const std::string tag = entry.command.tag;
  if (!login_allowed()) {
    refuse_in_plain_text(tag);
    co_return;
  }
  auto reader = entry.command.reader();
  auto user = reader.astring();
  const bool spaced = reader.space();
  auto password = reader.astring();
  base::wipe(const_cast<Entry&>(entry).command.text);
  if (!user || !spaced || !password || !reader.at_end() || user->empty() || user->size() > 1024) {
    if (password) base::wipe(*password);
    writer_.tagged(tag, "BAD LOGIN takes a user name and a password");
    reader_.expect_commands();
    co_return;
  }
  auth::Credential credential;
  credential.mechanism = Mechanism::kLogin;
  credential.authentication_id = std::move(*user);
  credential.secret = Secret(*password);
  base::wipe(*password);
  co_await decide(tag, std::move(credential));
}

void ClientSession::refuse_in_plain_text(const std::string& tag) {
  log(refused_event, {{"listener", listener_->name}, {"reason", "not without TLS"}});
  writer_.tagged(tag, "NO [PRIVACYREQUIRED] Log in with TLS");
  reader_.expect_commands();
}

Task<bool> ClientSession::sasl_line(std::string& line, std::string_view challenge) {
  writer_.go_ahead(challenge);
  reader_.expect_line();
  while (reader_.empty() && !stopping_) co_await reader_.arrivals().wait();
  if (stopping_ || reader_.front().kind != Entry::Kind::kLine) co_return false;  // next() deals with it
  Entry entry = reader_.take();
  line = std::move(entry.text);
  co_return true;
}

Task<> ClientSession::authenticate(const Entry& entry) {
  const std::string tag = entry.command.tag;
  auto reader = entry.command.reader();
  const auto name = reader.atom();
  const std::string mechanism = name ? base::upper(*name) : "";
  std::optional<std::string> initial;
  if (reader.space()) initial = std::string(reader.rest());
  base::wipe(const_cast<Entry&>(entry).command.text);

  if (!login_allowed()) {
    refuse_in_plain_text(tag);
    co_return;
  }
  if (!offers(*listener_, mechanism)) {
    writer_.tagged(tag, "NO [CANNOT] This mechanism is not offered");
    reader_.expect_commands();
    co_return;
  }

  // The client's lines; RFC 4959: "=" is an empty initial response.
  const bool two_steps = mechanism == "LOGIN";
  std::string first;
  std::string second;
  if (initial) {
    first = *initial == "=" ? "" : *initial;
    base::wipe(*initial);
  } else {
    auto got = co_await sasl_line(first, two_steps ? "VXNlcm5hbWU6" : "");
    if (!got) co_return;
  }
  if (two_steps && first != "*") {
    auto got = co_await sasl_line(second, "UGFzc3dvcmQ6");
    if (!got) co_return;
  }

  std::optional<auth::Credential> credential;
  const bool given_up = first == "*" || second == "*";
  if (given_up) {
    // RFC 3501, 6.2.2: BAD
  } else if (two_steps) {
    auto user = auth::decode_base64(first);
    auto password = auth::decode_base64(second);
    if (user && password && !user->empty()) {
      credential.emplace();
      credential->mechanism = Mechanism::kAuthLogin;
      credential->authentication_id = std::string(user->view());
      credential->secret = std::move(*password);
    }
  } else {
    credential = parse_message(mechanism, first);
  }
  base::wipe(first);
  base::wipe(second);
  if (!credential) {
    writer_.tagged(tag, given_up ? "BAD Cancelled" : "BAD The response is malformed");
    reader_.expect_commands();
    co_return;
  }
  co_await decide(tag, std::move(*credential));
}

// Which backend, which worker; then the backend decides.
Task<> ClientSession::decide(std::string tag, auth::Credential credential) {
  enter(State::kAuthenticating);
  host_.wipe_buffers();  // the client's octets
  // What a reload changed while the client was about to log in holds for it, too.
  if (host_.service()->generation > service_->generation) service_ = host_.service();
  ++attempts_;
  user_ = credential.user();
  begin_trace(user_);
  const routing::LoginFacts facts{.user = user_,
                                  .listener = listener_->name,
                                  .source = stream_->peer().address,
                                  .sni = stream_->peer().sni};
  const auto target = routing::route(config(), facts);
  if (!target) {
    log(refused_event, {{"reason", "no route"}});
    co_await refuse(std::move(tag), user_, {});
    co_return;
  }
  Login login{.tag = std::move(tag), .credential = std::move(credential), .target = std::move(*target)};
  if (login.target.auth_http) {
    auto accepted = co_await ask_service(login);
    if (!accepted) co_return;
  }
  // A relay without a limit per user has nothing to share with the user's other sessions: it stays where it
  // is.
  const bool stays = login.relays() && login.backend().connections_per_user == 0;
  const size_t owner =
      mailbox::Accounts::owner(login.backend().name, login.target.login_name, host_.workers());
  if (stays || owner == host_.index()) {
    co_await open_backend(login);
  } else if (stopping_) {  // so is the other worker
    unavailable(login.tag, "UNAVAILABLE", "The proxy is shutting down");
  } else {
    co_await move_to(owner, std::move(login));
  }
}

Task<> ClientSession::move_to(size_t worker, Login login) {
  // Nothing may be on its way out: the octets would be torn apart.
  while (stream_->unsent() > 0) co_await async::sleep_for(base::Millis(1));
  auto out = std::make_unique<HandedOver>();
  out->id = id_;
  out->service = service_;
  out->greeted_by = greeted_by_;
  out->listener = listener_;
  out->tag = std::move(login.tag);
  out->target = std::move(login.target);
  out->user = user_;
  out->attempts = attempts_;
  out->peer = stream_->peer();
  out->connected_at = connected_at_;
  out->commands = commands_;
  out->received = reader_.received();
  out->sent = writer_.sent();
  out->places = std::move(places_);
  stream_->set_handler(nullptr);
  if (auto* tls = dynamic_cast<net::TlsStream*>(stream_.get())) {
    out->tls = true;
    out->kind = tls->kind();
    out->transfer = tls->release(out->fd);
  } else {
    auto& tcp = static_cast<net::TcpStream&>(*stream_);  // NOLINT: a client's stream is one of the two
    out->kind = tcp.kind();
    out->fd = tcp.release();
  }
  out->unread = reader_.take_held();
  out->credential = std::move(login.credential);
  destination_ = worker;
  hand_over_ = std::move(out);
  host_.shared().counters.hand_overs.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace imapmux::session
