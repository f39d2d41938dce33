// SharedSession: APPEND. A message is spooled whole before anything is taken that others wait for, so that a
// slow or vanished client holds nobody up, and the backend never sees a part of one.
#include "base/log_event.h"
#include "session/command_check.h"
#include "session/shared_session.h"
#include "session/upload.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using backend::TaggedReply;
using mailbox::LeaseKind;
using mailbox::SharedMailbox;

base::log::Event spool_event{base::log::Level::kError, "spooling failed", base::log::Event::Volume::kLimited};

// The text of an APPEND up to its first literal, cut where the server wants to be asked.
mailbox::Order begin_order(std::string_view text, wire::LiteralForm form) {
  mailbox::Order order;
  auto pieces = wire::write_command("t", text, form).pieces;
  for (auto& piece : pieces) order.parts.push_back({std::move(piece), nullptr, !order.parts.empty()});
  if (order.parts.empty()) return order;
  order.parts.front().text.erase(0, 2);  // the tag
  auto& last = order.parts.back().text;
  last.resize(last.size() - 2);  // the literal goes on where CRLF stands
  return order;
}

// The next message, behind `text`.
void add_message(mailbox::Order& order, std::string_view text, wire::Literal8 kind, wire::LiteralForm form,
                 std::shared_ptr<net::Spool> message) {
  auto& last = order.parts.back();
  last.text += text;
  last.text += wire::literal_head(message->total(), kind, form);
  if (form == wire::LiteralForm::kPlus) {
    last.message = std::move(message);
    order.parts.push_back({});
  } else {
    order.parts.push_back({"", std::move(message), true});
    order.parts.push_back({});
  }
}

}  // namespace

Task<> SharedSession::append(const Entry& entry) {
  const wire::Command& command = entry.command;
  if (entry.kind != Entry::Kind::kUpload) {
    answer(command, "BAD APPEND takes a literal");
    co_return;
  }
  std::vector<Message> messages;
  auto problem = co_await spool(entry, messages);
  if (problem) {
    answer(command, *problem);
    co_return;
  }
  auto unknown = co_await know_names();
  if (unknown) {
    answer(command, *unknown);
    co_return;
  }
  auto reply = co_await upload(command, std::move(messages));
  answer(command, reply);
}

// All that the client sends, up to the command's end. Nothing: it is there, and well-formed.
Task<std::optional<std::string>> SharedSession::spool(const Entry& entry, std::vector<Message>& messages) {
  auto& reader = client_.reader();
  auto& limits = *client_.host().shared().spool;
  const uint64_t most = client_.config().limits.max_message_size;
  const bool several = offers_several();
  UploadPart head{UploadPart::Kind::kLiteral, "", entry.literal_size, entry.literal_waits, entry.literal8};
  for (;;) {
    std::string refusal;
    if (head.literal_size > most) refusal = "NO [TOOBIG] The message is too big";
    if (!messages.empty() && !several) refusal = "BAD One message at a time";
    if (!messages.empty() && !is_append_part(head.octets))
      refusal = "BAD This form of APPEND is not supported";
    if (!refusal.empty()) {
      co_await skip_upload(reader, head.literal_waits);
      co_return refusal;
    }
    if (head.literal_waits) client_.writer().go_ahead("OK");
    messages.push_back({head.octets, head.literal8 ? wire::Literal8::kYes : wire::Literal8::kNo,
                        std::make_shared<net::Spool>(limits)});
    auto& message = *messages.back().octets;
    UploadPart part;
    do {
      while (!reader.upload_ready()) co_await reader.arrivals().wait();
      part = reader.take_upload();
      if (part.kind != UploadPart::Kind::kData || !refusal.empty()) continue;
      try {
        message.append(part.octets);
      } catch (const net::SpoolError& error) {
        client_.log(spool_event, {{"reason", error.what()}});
        refusal = "NO [UNAVAILABLE] There is no room for the message now";
      }
    } while (part.kind == UploadPart::Kind::kData);
    if (!refusal.empty()) {
      // The literal may have been its last part already.
      if (part.kind == UploadPart::Kind::kLiteralEnd) co_await skip_upload(reader, false);
      co_return refusal;
    }
    if (part.kind == UploadPart::Kind::kLiteralEnd) {
      while (!reader.upload_ready()) co_await reader.arrivals().wait();
      part = reader.take_upload();
    }
    switch (part.kind) {
      case UploadPart::Kind::kLiteral:
        head = std::move(part);
        break;
      case UploadPart::Kind::kTail:
        // Anything here could be a literal's head to the backend.
        if (!part.octets.empty()) co_return "BAD Nothing may follow the message";
        co_return std::nullopt;
      case UploadPart::Kind::kBad:
        co_return "BAD The command is malformed behind its literal";
      default:
        throw net::ConnectionLost(net::Side::kClient, "the client's upload broke off");
    }
  }
}

bool SharedSession::offers_several() const {
  return wire::find_verb("APPEND", false) != wire::Verb::kUnknown &&
         capabilities().find(" MULTIAPPEND") != std::string::npos;
}

// On the mailbox's own connection where it is open, else under a lease on any. GNU imap4d, once it has
// appended to the mailbox that is selected, loses what comes in behind that, though it says OK: where no
// APPENDUID proves that a message is there, the mailbox is set aside meanwhile.
Task<TaggedReply> SharedSession::upload(const wire::Command& command, std::vector<Message> messages) {
  const auto key = account_->naming().key(opened_mailboxes(command).front());
  std::shared_ptr<Hold> hold;
  std::shared_ptr<SharedMailbox> open = account_->find(key);
  if (open && open->at_rest()) open.reset();
  std::optional<SharedMailbox::Use> use;
  if (open) use.emplace(open);
  bool aside = open && !account_->capabilities().has("UIDPLUS");
  Turn turn;
  if (open && !aside) turn = co_await turn_in(open);
  // Courier takes no APPEND to a mailbox that is selected read-only.
  if (turn.connection && (!open->attached_for_writing() || open->read_only())) {
    turn.connection->end(*this);
    turn = {};
    aside = true;
  }
  if (!turn.connection) {  // it is not open, or can't be, or must not be
    hold = std::make_shared<Hold>(account_);
    if (aside) hold->blocks.emplace_back(open);
    std::vector<mailbox::LeaseRequest> requests{{key, LeaseKind::kAppend}};
    turn.refusal = co_await lease(std::move(requests), hold);
    if (!turn.refusal) turn = co_await turn_anywhere();
  }
  if (!turn.connection) co_return as_reply(*turn.refusal);
  TaggedReply reply;
  {
    const auto connection = turn.connection;
    const mailbox::TurnEnd end(connection, *this);
    auto order = begin_order(command.text, connection->literal_form());
    if (order.parts.empty()) {
      reply.status = wire::ResponseName::kBad;
      reply.text = "The arguments are malformed";
      co_return reply;
    }
    for (auto& message : messages)
      add_message(order, message.before, message.kind, connection->literal_form(), std::move(message.octets));
    order.parts.back().text = "\r\n";
    try {
      reply = co_await connection->run(*this, std::move(order), std::move(hold));
    } catch (const net::ConnectionLost&) {
      reply.code = "UNAVAILABLE";
      reply.text = "The mail server has gone, the outcome is unknown";
    }
  }
  hold.reset();
  if (open && reply.code == "APPENDUID") {
    wire::TokenReader uids(reply.code_arguments);  // RFC 4315: validity, UID
    if (uids.number() && uids.space()) open->saw_uid(uids.number().value_or(0));
  }
  // RFC 3501, 6.3.11: whoever has the mailbox open should hear of it at once.
  if (!reply.ok()) co_return reply;
  if (open && (open->attached() || is_open(key))) {
    co_await open->poll(SharedMailbox::Poll::kNoop);
  } else if (const auto suspended = account_->find(key)) {
    suspended->visit_soon();
  }
  co_return reply;
}

}  // namespace imapmux::session
