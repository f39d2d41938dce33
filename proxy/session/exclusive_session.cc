#include "session/exclusive_session.h"

#include "base/log.h"
#include "session/capability_list.h"
#include "session/capture.h"
#include "session/command_check.h"
#include "session/refusal.h"
#include "session/upload.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::LiteralStart;
using backend::TaggedReply;
using wire::ResponseName;
using wire::Verb;

constexpr size_t kMostInFlight = 256;
// For LOGOUT; and for a backend that is still busy with what a vanished client had asked for: until it has
// closed, it may be in the mailbox.
constexpr base::Millis kCloseLimit{2'000};
constexpr base::Millis kBusyLimit{30'000};

constexpr std::string_view kGone = "NO [UNAVAILABLE] The mail server has gone";
constexpr std::string_view kGoneUnknown = "NO [UNAVAILABLE] The mail server has gone, the outcome is unknown";

}  // namespace

void ExclusiveSession::Relayed::on_tagged(const wire::Response& response) noexcept {
  auto& owner = session;
  std::string_view rest = response.line.substr(response.tag.size() + 1);
  if (is_hidden_code(response.code)) {
    owner.client_.writer().tagged(
        tag, std::string(rest.substr(0, rest.find('['))) + std::string(response.arguments));
  } else {
    owner.client_.writer().tagged(tag, rest);
  }
  owner.spare_.splice(owner.spare_.begin(), owner.in_flight_, self);
  owner.hold_back_if_slow();
  owner.progress_.notify_all();
}

void ExclusiveSession::Relayed::on_lost(const std::string&) noexcept {
  auto& owner = session;
  owner.client_.writer().tagged(tag, kGone);
  owner.spare_.splice(owner.spare_.begin(), owner.in_flight_, self);
  owner.progress_.notify_all();
}

bool ExclusiveSession::Capture::wants(const wire::Response& response) const {
  switch (what_) {
    case What::kEverything:
      return true;
    case What::kSearchOnly:
      return response.name == ResponseName::kSearch;
    case What::kListOnly:
      return response.name == ResponseName::kList;
  }
  return false;
}

void ExclusiveSession::Capture::take(const wire::Response& response) {
  wire::TokenReader reader(response.arguments);
  if (response.name == ResponseName::kSearch) {
    while (const auto number = reader.number()) {
      found.push_back(*number);
      if (!reader.space()) break;
    }
  } else if (response.name == ResponseName::kList) {
    if (!reader.skip_value() || !reader.space()) return;
    if (const auto text = reader.string(); text && text->size() == 1) delimiter = text->front();
  } else if (response.name == ResponseName::kExists) {
    exists = response.number;
  }
}

ExclusiveSession::ExclusiveSession(ClientSession& client, Seat seat)
    : client_(client), seat_(std::move(seat)), holder_(client.host().next_holder()) {}

void ExclusiveSession::begin() {
  connection().set_observer(this);
  connection().go_on();
}

ExclusiveSession::~ExclusiveSession() = default;

std::string ExclusiveSession::capabilities() const {
  return offered_capabilities(backend_can(), *seat_.backend);
}

Task<> ExclusiveSession::serve() {
  try {
    for (;;) {
      Entry entry;
      auto more = co_await client_.next(entry);
      if (!more) break;
      co_await execute(std::move(entry));
      if (client_.state() == State::kLogout) co_return;
    }
    co_await all_answered();
  } catch (const net::ConnectionLost& lost) {
    if (lost.side() == net::Side::kBackend) tell_lost();
    throw;
  }
}

void ExclusiveSession::on_client_drained() noexcept {
  if (seat_.connection) connection().resume();
}

Task<> ExclusiveSession::finish() {
  auto& arbiter = client_.host().arbiter();
  client_.host().suspects().closed(holder_);
  if (seat_.connection) connection().set_observer(nullptr);
  if (!seat_.connection) {
    // It did not come back.
  } else {
    // A mailbox is given back only when it is certain that the backend has closed it. LOGOUT expunges
    // nothing.
    co_await connection().close(kCloseLimit, client_.stopping() ? base::Millis(0) : kBusyLimit);
  }
  arbiter.release_all(holder_);
}

void ExclusiveSession::answer(std::string_view tag, std::string_view text) {
  current_tag_.clear();
  client_.writer().tagged(tag, text);
}

void ExclusiveSession::answer(std::string_view tag, const TaggedReply& reply) {
  current_tag_.clear();
  client_.writer().tagged(tag, reply);
}

std::optional<std::string> ExclusiveSession::refusal(const Entry& entry) const {
  const Standing standing{selected_.has_value(), vanished_, selected_ && selected_->read_only};
  return refusal_of(entry.command, standing, backend_can(), *seat_.backend);
}

Task<> ExclusiveSession::execute(Entry entry) {
  const auto& command = entry.command;
  if (away_ && command.verb != Verb::kLogout) {
    auto back = co_await come_back();
    if (!back) {
      client_.writer().tagged(command.tag, kGone);
      client_.say_bye("[UNAVAILABLE] The mail server has gone");
      co_return;
    }
  }
  if (auto problem = refusal(entry)) {
    const std::string tag = command.tag;
    if (entry.kind == Entry::Kind::kUpload) co_await skip_upload(client_.reader(), entry.literal_waits);
    if (client_.reader().holding()) client_.reader().expect_commands();
    answer(tag, *problem);
    co_return;
  }
  const auto& info = wire::info(command.verb);
  if (info.pipelines && !vanished_) {
    co_await forward(std::move(entry));
    co_return;
  }
  co_await all_answered();
  current_tag_ = command.tag;
  outcome_unknown_ = changes_mail(command.verb);
  if (client_.answer_locally(entry, capabilities())) {
    current_tag_.clear();
    co_return;
  }
  switch (command.verb) {
    case Verb::kNoop:
    case Verb::kCheck:
      answer(command.tag, "OK completed");
      break;  // only when the mailbox has vanished
    case Verb::kEnable:
      client_.writer().untagged("ENABLED");
      answer(command.tag, "OK nothing to enable");
      break;
    case Verb::kSelect:
    case Verb::kExamine:
      co_await select(std::move(entry));
      break;
    case Verb::kClose:
      co_await close(std::move(entry));
      break;
    case Verb::kUnselect:
      co_await unselect(std::move(entry));
      break;
    case Verb::kStatus:
      co_await status(std::move(entry));
      break;
    case Verb::kAppend:
      co_await append(std::move(entry));
      break;
    case Verb::kCopy:
    case Verb::kUidCopy:
    case Verb::kMove:
    case Verb::kUidMove:
      co_await copy(std::move(entry));
      break;
    case Verb::kDelete:
    case Verb::kRename:
      co_await restructure(std::move(entry));
      break;
    case Verb::kIdle:
      co_await idle(std::move(entry));
      break;
    case Verb::kNamespace:
      co_await name_space(std::move(entry));
      break;
    default: {
      auto reply = co_await relay(entry);
      answer(entry.command.tag, reply);
    }
  }
  current_tag_.clear();
}

Task<> ExclusiveSession::forward(Entry entry) {
  const auto& info = wire::info(entry.command.verb);
  // Answers of one family carry no correlation, and servers reorder.
  const auto family_busy = [&] {
    if (info.family == wire::Family::kNone) return false;
    for (const auto& other : in_flight_)
      if (other.family == info.family) return true;
    return false;
  };
  while (family_busy() || in_flight_.size() >= kMostInFlight ||
         connection().unsent() > net::Stream::kHighWatermark)
    co_await progress_.wait();

  const auto backend_tag = connection().next_tag();
  const auto command = wire::write_command(backend_tag, entry.command.text, connection().literal_form());
  if (command.pieces.empty()) {
    answer(entry.command.tag, "BAD The arguments are malformed");
    co_return;
  }
  if (command.pieces.size() > 1) {  // the server wants to be asked before each literal
    co_await all_answered();
    current_tag_ = entry.command.tag;
    auto reply = co_await relay(entry);
    answer(entry.command.tag, reply);
    co_return;
  }
  if (spare_.empty()) {
    in_flight_.emplace_back(*this);
  } else {
    in_flight_.splice(in_flight_.end(), spare_, spare_.begin());
  }
  auto& relayed = in_flight_.back();
  relayed.tag = entry.command.tag;
  relayed.backend_tag = backend_tag;
  relayed.family = info.family;
  relayed.self = std::prev(in_flight_.end());
  connection().send(backend_tag, command.pieces.front(), relayed);
}

Task<> ExclusiveSession::all_answered() {
  while (!in_flight_.empty()) co_await progress_.wait();
}

Task<TaggedReply> ExclusiveSession::relay(const Entry& entry) {
  auto reply = co_await connection().run(entry.command.text);
  co_return reply;
}

Task<TaggedReply> ExclusiveSession::run_unseen(std::string text, Capture& capture) {
  struct Installed {
    explicit Installed(Capture*& slot, Capture& capture) : slot_(slot) { slot_ = &capture; }
    ~Installed() { slot_ = nullptr; }
    Installed(const Installed&) = delete;
    Installed& operator=(const Installed&) = delete;
    Capture*& slot_;
  };
  const Installed installed(capture_, capture);
  auto reply = co_await connection().run(std::move(text));
  co_return reply;
}

Task<> ExclusiveSession::learn_delimiter() {
  if (naming_) co_return;
  Capture capture(Capture::What::kListOnly);
  co_await run_unseen("LIST \"\" \"\"", capture);
  delimiter_ = capture.delimiter;
  naming_ = std::make_unique<mailbox::MailboxNaming>(*seat_.backend, seat_.login_name, delimiter_);
}

void ExclusiveSession::on_untagged(const wire::Response& response,
                                   std::optional<LiteralStart> literal) noexcept {
  track(response);
  const bool alert =
      base::equals_ignore_case(response.code, "ALERT");  // RFC 3501, 7.1: the user has to see it
  if (capture_ && capture_->wants(response) && !alert) {
    capture_->take(response);
    captured_literal_ = literal.has_value();
    return;
  }
  captured_literal_ = false;
  auto& writer = client_.writer();
  const bool is_status = response.name == ResponseName::kOk || response.name == ResponseName::kNo ||
                         response.name == ResponseName::kBad;
  if (is_status && is_hidden_code(response.code)) return;
  if (response.name == ResponseName::kExpunge) {
    writer.untagged(std::to_string(response.number) + " EXPUNGE");  // imap4d says EXPUNGED
  } else if (response.name == ResponseName::kEsearch && !literal) {
    pass_esearch(response);
  } else if (literal) {
    writer.pass_start(response.line, *literal);
  } else {
    writer.pass_line(response.line);
  }
  hold_back_if_slow();
}

// RFC 4466, 2.6.2: the correlator names the command's tag, which is ours there and the client's here.
void ExclusiveSession::pass_esearch(const wire::Response& response) {
  wire::TokenReader reader(response.arguments);
  const bool correlated =
      reader.open() && base::equals_ignore_case(reader.atom().value_or(""), "TAG") && reader.space();
  const auto backend_tag = correlated ? reader.string() : std::nullopt;
  if (!backend_tag || !reader.close()) {
    client_.writer().pass_line(response.line);
    return;
  }
  std::string tag = current_tag_;
  for (const auto& command : in_flight_)
    if (command.backend_tag == *backend_tag) tag = command.tag;
  std::string line = "ESEARCH (TAG ";
  wire::write_quoted(line, tag);
  client_.writer().untagged(line + ")" + std::string(reader.rest()));
}

void ExclusiveSession::on_literal(std::string_view octets) noexcept {
  if (captured_literal_) return;
  client_.writer().pass_literal(octets);
  hold_back_if_slow();
}

void ExclusiveSession::on_text(std::string_view text, std::optional<LiteralStart> literal) noexcept {
  if (captured_literal_) return;
  client_.writer().pass_text(text, literal ? &*literal : nullptr);
}

void ExclusiveSession::hold_back_if_slow() {
  if (client_.writer().unsent() > net::Stream::kHighWatermark) connection().pause();
}

// New mail that is fetched and expunged again must not be forgotten by UIDNEXT.
void ExclusiveSession::saw_fetch(std::string_view attributes) {
  wire::TokenReader reader(attributes);
  if (!reader.open()) return;
  for (;;) {
    const auto name = reader.atom();
    if (!name || !reader.space()) return;
    if (base::equals_ignore_case(*name, "UID")) {
      saw_uid(reader.number().value_or(0));
      return;
    }
    if (!reader.skip_value() || !reader.space()) return;
  }
}

void ExclusiveSession::track(const wire::Response& response) {
  wire::TokenReader code(response.code_arguments);
  switch (response.name) {
    case ResponseName::kExists:
      numbers_.grew = numbers_.grew || (numbers_.uid_next != 0 && response.number > numbers_.exists);
      numbers_.exists = response.number;
      break;
    case ResponseName::kFetch:
      if (numbers_.grew) saw_fetch(response.arguments);
      break;
    case ResponseName::kRecent:
      numbers_.recent = response.number;
      break;
    case ResponseName::kExpunge:
      if (numbers_.exists > 0) --numbers_.exists;
      break;
    case ResponseName::kOk:
      if (base::equals_ignore_case(response.code, "UIDVALIDITY"))
        numbers_.uid_validity = code.number().value_or(0);
      if (base::equals_ignore_case(response.code, "UIDNEXT")) numbers_.uid_next = code.number().value_or(0);
      break;
    default:
      break;
  }
}

void ExclusiveSession::on_backend_lost(const std::string& reason) noexcept {
  base::log::warn("session {}: backend {} lost: {}", client_.label(), seat_.backend->name, reason);
  // An answer may have come in the same breath: whoever waits for it is on the ready list already, before us.
  client_.host().scheduler().make_ready(*this);
}

void ExclusiveSession::run() {
  if (client_.state() == State::kLogout) return;
  if (can_come_back()) {
    away_ = true;
    connection().permit = {};
    return;
  }
  tell_lost();
  client_.end("backend lost: " + connection().lost_reason());
}

void ExclusiveSession::tell_lost() {
  // The pipelined commands have been answered by their completions.
  if (!current_tag_.empty()) answer(std::string(current_tag_), outcome_unknown_ ? kGoneUnknown : kGone);
  client_.say_bye("[UNAVAILABLE] The mail server has gone");
}

}  // namespace imapmux::session
