#include "probe/session.h"

#include <algorithm>

#include "base/bytes.h"
#include "probe/tapped_stream.h"
#include "wire/fetch_attributes.h"
#include "wire/lexical.h"
#include "wire/token_reader.h"
#include "wire/writer.h"

namespace imapmux::probe {

namespace {

using async::Task;
using wire::ResponseName;

// How long a server may take to close behind LOGOUT.
constexpr base::Millis kGoodbye{2'000};

}  // namespace

std::string quoted(std::string_view name) {
  std::string out;
  wire::write_string(out, name);
  return out;
}

const Heard* Answer::find(ResponseName name) const {
  const auto found =
      std::find_if(heard.rbegin(), heard.rend(), [&](const Heard& h) { return h.name == name; });
  return found == heard.rend() ? nullptr : &*found;
}

std::optional<uint32_t> Answer::code_number(std::string_view code) const {
  for (const Heard& h : heard)
    if (h.code == code) return wire::parse_number32(h.code_arguments);
  return std::nullopt;
}

std::optional<uint32_t> Answer::status_number(std::string_view item) const {
  const Heard* status = find(ResponseName::kStatus);
  if (!status) return std::nullopt;
  wire::TokenReader reader(status->arguments);
  if (!reader.astring() || !reader.open()) return std::nullopt;
  while (const auto name = reader.atom()) {
    const auto number = reader.number();
    if (base::equals_ignore_case(*name, item)) return number;
  }
  return std::nullopt;
}

bool Answer::contains(ResponseName name, std::string_view text) const {
  return std::any_of(heard.begin(), heard.end(),
                     [&](const Heard& h) { return h.name == name && h.line.contains(text); });
}

Session::Session(std::string name, Transcript& transcript,
                 std::unique_ptr<backend::BackendConnection> connection)
    : tap_(transcript, std::move(name)), connection_(std::move(connection)) {
  tap_.note("connected, greeted with: " + connection_->greeting());
  connection_->set_stream(std::make_unique<TappedStream>(connection_->take_stream(), tap_));
  connection_->set_observer(this);
}

Task<backend::LoginOutcome> Session::log_in(const config::Backend& backend,
                                            const auth::Credential& credential, std::string user) {
  tap_.note("logs in as " + user);
  tap_.hide(credential.secret);
  auto outcome = co_await backend::log_in(*connection_, backend, credential, std::move(user));
  tap_.show();
  connection_->go_on();
  outcome.reply.text = without(credential.secret, std::move(outcome.reply.text));
  co_return outcome;
}

Task<Answer> Session::ask(std::string command) {
  Answer answer;
  try {
    answer.reply = co_await connection_->run(std::move(command));
  } catch (const net::ConnectionLost& lost) {
    answer.lost = lost.what();
  }
  answer.heard = std::exchange(heard_, {});
  co_return answer;
}

Task<Answer> Session::open(std::string verb, std::string mailbox) {
  auto answer = co_await ask(verb + " " + quoted(mailbox));
  in_mailbox_ = answer.ok();
  co_return answer;
}

Task<> Session::leave() {
  if (!in_mailbox_) co_return;
  in_mailbox_ = false;
  co_await ask("CLOSE");
}

Task<> Session::close() {
  co_await connection_->close(kGoodbye);
}

Task<uint32_t> last_uid(Session& session) {
  auto answer = co_await session.ask("FETCH 1:* (UID)");
  uint32_t last = 0;
  for (const Heard& heard : answer.heard) {
    uint32_t uid = 0;
    std::string flags;
    bool has_flags = false;
    if (heard.name == ResponseName::kFetch && wire::read_fetch(heard.arguments, uid, flags, has_flags))
      last = std::max(last, uid);
  }
  co_return last;
}

void Session::on_untagged(const wire::Response& response, std::optional<backend::LiteralStart>) noexcept {
  heard_.push_back({.name = response.name,
                    .number = response.number,
                    .code = base::upper(response.code),
                    .code_arguments = std::string(response.code_arguments),
                    .arguments = std::string(response.arguments),
                    .line = std::string(response.line)});
}

void Session::on_literal(std::string_view octets) noexcept {
  heard_.back().line += octets;
}

void Session::on_text(std::string_view text, std::optional<backend::LiteralStart>) noexcept {
  heard_.back().line += text;
}

}  // namespace imapmux::probe
