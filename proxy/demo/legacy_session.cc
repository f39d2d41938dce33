#include "demo/legacy_session.h"

#include <fmt/core.h>

#include <utility>

#include "base/bytes.h"
#include "demo/encoding.h"

namespace imapmux::demo {

namespace {

using wire::Verb;

// Generous: it is the proxy in front that is to be careful.
constexpr wire::CommandLimits kLimits{.max_command = 1 << 20, .max_literal = 256 * 1024};

}  // namespace

LegacySession::LegacySession(LegacyServer& server, std::string peer_address, SessionOutput& output,
                             bool secure)
    : server_(server),
      peer_address_(std::move(peer_address)),
      output_(output),
      parser_(kLimits),
      secure_(secure) {
  server_.add(this);
}

LegacySession::~LegacySession() {
  server_.remove(this);
}

void LegacySession::start() {
  unsigned limit = server_.quirks().max_connections_per_address;
  if (limit != 0 && server_.sessions_from(peer_address_) > limit) {
    server_.violations().record(server_.violations().over_address_limit,
                                fmt::format("more than {} connections from {}", limit, peer_address_));
    sever("Too many connections from your address");
    return;
  }
  out_ += fmt::format("* OK [CAPABILITY {}] Legacy IMAP server ready\r\n", capabilities());
  flush();
}

void LegacySession::disconnected() {
  closed_ = true;
  mode_ = Mode::kCommand;
  selected_.reset();
  append_.reset();
}

void LegacySession::sever(std::string_view reason) {
  if (closed_) return;
  out_ += fmt::format("* BYE {}\r\n", reason);
  close();
}

void LegacySession::close() {
  flush();
  disconnected();
  output_.close();
}

void LegacySession::flush() {
  if (!out_.empty() && !closed_) output_.send(out_);
  out_.clear();
}

void LegacySession::on_tick() {
  if (closed_ || mode_ != Mode::kIdle || selected_ == nullptr || !server_.quirks().idle_pushes) return;
  selected_->sync(out_, true);
  flush();
}

wire::State LegacySession::state() const {
  if (selected_ != nullptr) return wire::State::kSelected;
  return user_.empty() ? wire::State::kNotAuthenticated : wire::State::kAuthenticated;
}

std::string LegacySession::capabilities() const {
  const Quirks& quirks = server_.quirks();
  std::string out = "IMAP4rev1 SASL-IR CHILDREN ID";
  if (quirks.has_literal_plus) out += " LITERAL+";
  if (quirks.has_idle) out += " IDLE";
  if (quirks.has_namespace) out += " NAMESPACE";
  if (quirks.has_uidplus) out += " UIDPLUS";
  if (quirks.has_move) out += " MOVE";
  if (quirks.has_unselect) out += " UNSELECT";
  if (!user_.empty()) return out;
  if (server_.options().starttls && !secure_) out += " STARTTLS";
  return out + " AUTH=PLAIN AUTH=LOGIN";
}

void LegacySession::receive(std::string_view input) {
  input_ends_ = false;
  while (!closed_ && !input_ends_) {
    if (mode_ == Mode::kCommand) {
      auto event = parser_.next(input);
      if (event == wire::CommandParser::Event::kNeedMore) return;
      on_event(event);
      continue;
    }
    auto event = parser_.next_line(input);
    if (event == wire::CommandParser::Event::kNeedMore) return;
    if (event == wire::CommandParser::Event::kTooLong) {
      sever("Line too long");
      return;
    }
    on_line(parser_.line());
  }
}

void LegacySession::on_event(wire::CommandParser::Event event) {
  using Event = wire::CommandParser::Event;
  switch (event) {
    case Event::kNeedMore:
      break;
    case Event::kContinue:
      out_ += "+ Ready for literal\r\n";
      flush();
      break;
    case Event::kCommand: {
      wire::Command command = parser_.take();
      if (append_) {
        end_append(command.text);
      } else {
        execute(command);
      }
      break;
    }
    case Event::kLiteralStart: {
      uint64_t size = parser_.literal_size();
      bool waits = parser_.literal_waits();
      begin_append(parser_.take(), size, waits);
      break;
    }
    case Event::kLiteralData:
      if (append_ && append_->problem.empty()) append_->octets += parser_.data();
      break;
    case Event::kLiteralEnd:
      break;
    case Event::kBad:
      append_.reset();
      out_ += fmt::format("{} BAD {}\r\n", parser_.tag().empty() ? "*" : parser_.tag(), parser_.problem());
      flush();
      break;
    case Event::kTooLong:
      if (!parser_.tag().empty()) out_ += fmt::format("{} BAD {}\r\n", parser_.tag(), parser_.problem());
      sever("Command too long");
      break;
  }
}

// Quirks switch commands off; what the table knows beyond this server is unknown to it.
bool LegacySession::supported(Verb verb) const {
  const Quirks& quirks = server_.quirks();
  switch (verb) {
    case Verb::kUnselect:
      return quirks.has_unselect;
    case Verb::kIdle:
      return quirks.has_idle;
    case Verb::kNamespace:
      return quirks.has_namespace;
    case Verb::kUidExpunge:
      return quirks.has_uidplus;
    case Verb::kMove:
    case Verb::kUidMove:
      return quirks.has_move;
    case Verb::kStarttls:
      return server_.options().starttls;
    case Verb::kUnknown:
    case Verb::kEnable:
    case Verb::kSort:
    case Verb::kThread:
    case Verb::kUidSort:
    case Verb::kUidThread:
      return false;
    default: {
      wire::Family family = wire::info(verb).family;
      return family != wire::Family::kQuota && family != wire::Family::kAcl &&
             family != wire::Family::kMetadata;
    }
  }
}

void LegacySession::execute(const wire::Command& command) {
  tag_ = command.tag;
  const wire::CommandInfo& info = wire::info(command.verb);
  Reply reply;
  if (!supported(command.verb)) {
    reply = "BAD Unknown command";
  } else if ((info.states & static_cast<uint8_t>(state())) == 0) {
    reply = "BAD Command not allowed now";
  } else if (!server_.quirks().has_literal_plus && command.text.contains("+}\r\n")) {
    reply = "BAD Invalid literal";
  } else if (info.writes && selected_ != nullptr && selected_->read_only()) {
    reply = "NO Mailbox is read-only";
  } else {
    reply = dispatch(command);
  }
  if (!reply.empty()) finish(command.tag, reply, info.may_expunge);
}

void LegacySession::finish(std::string_view tag, const Reply& reply, bool may_expunge) {
  if (closed_) return;
  if (selected_ != nullptr) selected_->sync(out_, may_expunge);
  out_ += fmt::format("{} {}\r\n", tag, reply);
  flush();
  server_.on_tick();
}

LegacySession::Reply LegacySession::dispatch(const wire::Command& command) {
  wire::TokenReader reader = command.reader();
  switch (command.verb) {
    case Verb::kCapability:
      out_ += fmt::format("* CAPABILITY {}\r\n", capabilities());
      return "OK CAPABILITY completed";
    case Verb::kNoop:
      return "OK NOOP completed";
    case Verb::kCheck:
      return "OK CHECK completed";
    case Verb::kLogout:
      out_ += fmt::format("* BYE Logging out\r\n{} OK LOGOUT completed\r\n", command.tag);
      close();
      return {};
    case Verb::kId:
      return do_id(reader);
    case Verb::kLogin:
      return do_login(reader);
    case Verb::kAuthenticate:
      return do_authenticate(reader);
    case Verb::kStarttls:
      return do_starttls();
    case Verb::kIdle:
      return do_idle();
    case Verb::kNamespace:
      out_ += "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n";
      return "OK NAMESPACE completed";
    default:
      if (wire::info(command.verb).states == static_cast<uint8_t>(wire::State::kSelected))
        return dispatch_message(command.verb, reader);
      return dispatch_mailbox(command.verb, reader);
  }
}

LegacySession::Reply LegacySession::dispatch_mailbox(Verb verb, wire::TokenReader& reader) {
  switch (verb) {
    case Verb::kSelect:
    case Verb::kExamine:
      return do_select(reader, verb == Verb::kExamine);
    case Verb::kCreate:
      return do_create(reader);
    case Verb::kDelete:
      return do_delete(reader);
    case Verb::kRename:
      return do_rename(reader);
    case Verb::kSubscribe:
    case Verb::kUnsubscribe:
      return do_subscribe(reader, verb == Verb::kSubscribe);
    case Verb::kList:
      return do_list(reader);
    case Verb::kLsub:
      return do_lsub(reader);
    case Verb::kStatus:
      return do_status(reader);
    case Verb::kAppend:  // one with a literal is no complete command before it
      return "BAD APPEND needs a literal";
    default:
      return "BAD Unknown command";
  }
}

LegacySession::Reply LegacySession::dispatch_message(Verb verb, wire::TokenReader& reader) {
  switch (verb) {
    case Verb::kFetch:
    case Verb::kUidFetch:
      return do_fetch(reader, verb == Verb::kUidFetch);
    case Verb::kStore:
    case Verb::kUidStore:
      return do_store(reader, verb == Verb::kUidStore);
    case Verb::kSearch:
    case Verb::kUidSearch:
      return do_search(reader, verb == Verb::kUidSearch);
    case Verb::kCopy:
    case Verb::kUidCopy:
      return do_copy(reader, verb == Verb::kUidCopy, false);
    case Verb::kMove:
    case Verb::kUidMove:
      return do_copy(reader, verb == Verb::kUidMove, true);
    case Verb::kExpunge:
      return do_expunge();
    case Verb::kUidExpunge:
      return do_uid_expunge(reader);
    case Verb::kClose:
    case Verb::kUnselect:
      return do_close(verb == Verb::kClose);
    default:
      return "BAD Unknown command";
  }
}

LegacySession::Reply LegacySession::do_id(wire::TokenReader& reader) {
  if (!reader.skip_value() || !reader.at_end()) return "BAD Invalid arguments";
  out_ += "* ID (\"name\" \"imapmux demo\")\r\n";
  return "OK ID completed";
}

LegacySession::Reply LegacySession::do_starttls() {
  if (secure_) return "BAD TLS is in use already";
  // Whatever came behind it in the clear could be anyone's (RFC 3501, 6.2.1).
  out_ += fmt::format("{} OK Begin TLS negotiation now\r\n", tag_);
  flush();
  secure_ = true;
  input_ends_ = true;
  output_.start_tls();
  return {};
}

// --- login

LegacySession::Reply LegacySession::log_in(const std::string& user, std::string_view password) {
  if (!server_.check_password(user, password)) return "NO [AUTHENTICATIONFAILED] Authentication failed";
  if (const auto& refusal = server_.options().login_refusal) {
    auto reply = refusal();
    if (!reply.empty()) return reply;
  }
  unsigned limit = server_.quirks().max_connections_per_user;
  if (limit != 0 && server_.sessions_of_user(user) >= limit) {
    server_.violations().record(server_.violations().over_user_limit,
                                fmt::format("more than {} connections of {}", limit, user));
    return fmt::format("NO Too many open connections ({} of {})", limit, limit);
  }
  user_ = user;
  return fmt::format("OK [CAPABILITY {}] Logged in", capabilities());
}

LegacySession::Reply LegacySession::do_login(wire::TokenReader& reader) {
  auto user = reader.astring();
  if (!user || !reader.space()) return "BAD Invalid arguments";
  auto password = reader.astring();
  if (!password || !reader.at_end()) return "BAD Invalid arguments";
  return log_in(*user, *password);
}

LegacySession::Reply LegacySession::do_authenticate(wire::TokenReader& reader) {
  auto mechanism = reader.atom();
  if (!mechanism) return "BAD Invalid arguments";
  std::optional<std::string> initial;  // RFC 4959; "=" is the empty response
  if (reader.space()) {
    auto response = reader.atom();
    if (!response) return "BAD Invalid arguments";
    initial = *response == "=" ? "" : std::string(*response);
  }
  if (!reader.at_end()) return "BAD Invalid arguments";
  if (base::equals_ignore_case(*mechanism, "PLAIN")) {
    if (initial) return authenticate_plain(*initial);
    mode_ = Mode::kPlain;
    out_ += "+ \r\n";
  } else if (base::equals_ignore_case(*mechanism, "LOGIN")) {
    mode_ = Mode::kLoginUser;
    out_ += fmt::format("+ {}\r\n", encode_base64("Username:"));
    if (initial) {
      auto user = decode_base64(*initial);
      mode_ = Mode::kCommand;
      out_.clear();
      if (!user) return "BAD Invalid base64";
      login_user_ = *user;
      mode_ = Mode::kLoginPassword;
      out_ += fmt::format("+ {}\r\n", encode_base64("Password:"));
    }
  } else {
    return "NO Unsupported mechanism";
  }
  flush();
  return {};
}

// RFC 4616: authorization identity NUL authentication identity NUL password.
LegacySession::Reply LegacySession::authenticate_plain(std::string_view base64) {
  auto message = decode_base64(base64);
  if (!message) return "BAD Invalid base64";
  size_t first = message->find('\0');
  size_t second = first == std::string::npos ? first : message->find('\0', first + 1);
  if (second == std::string::npos) return "BAD Invalid PLAIN message";
  std::string as = message->substr(0, first);
  std::string user = message->substr(first + 1, second - first - 1);
  if (!as.empty() && as != user) return "NO [AUTHORIZATIONFAILED] Not allowed to act as another user";
  return log_in(user, std::string_view(*message).substr(second + 1));
}

// A line that is no command: an answer to AUTHENTICATE's "+", or DONE.
void LegacySession::on_line(std::string_view line) {
  Mode mode = std::exchange(mode_, Mode::kCommand);
  if (mode == Mode::kIdle) {
    finish(tag_, base::equals_ignore_case(line, "DONE") ? "OK IDLE terminated" : "BAD Expected DONE", true);
    return;
  }
  if (line == "*") {
    finish(tag_, "BAD Authentication cancelled", false);
    return;
  }
  if (mode == Mode::kPlain) {
    finish(tag_, authenticate_plain(line), false);
    return;
  }
  auto text = decode_base64(line);
  if (!text) {
    finish(tag_, "BAD Invalid base64", false);
  } else if (mode == Mode::kLoginUser) {
    login_user_ = *text;
    mode_ = Mode::kLoginPassword;
    out_ += fmt::format("+ {}\r\n", encode_base64("Password:"));
    flush();
  } else {
    finish(tag_, log_in(login_user_, *text), false);
  }
}

LegacySession::Reply LegacySession::do_idle() {
  mode_ = Mode::kIdle;
  out_ += "+ idling\r\n";
  flush();
  on_tick();
  return {};
}

}  // namespace imapmux::demo
