// ExclusiveSession: APPEND, whose messages are streamed and never held whole.
#include "session/command_check.h"
#include "session/exclusive_session.h"
#include "session/upload.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

using async::Task;
using Place = mailbox::MailboxArbiter::Ticket::Place;

wire::Literal8 kind(bool literal8) {
  return literal8 ? wire::Literal8::kYes : wire::Literal8::kNo;
}

}  // namespace

Task<> ExclusiveSession::append(Entry entry) {
  const std::string tag = entry.command.tag;
  if (entry.kind != Entry::Kind::kUpload) {
    answer(tag, "BAD APPEND takes a literal");
    co_return;
  }
  if (entry.literal_size > client_.config().limits.max_message_size) {
    co_await skip_upload(client_.reader(), entry.literal_waits);
    answer(tag, "NO [TOOBIG] The message is too big");
    co_return;
  }
  co_await learn_delimiter();
  const auto key = naming_->key(opened_mailboxes(entry.command).front());
  if (!is_selected(key)) {
    auto refusal = co_await lease({{key, mailbox::LeaseKind::kAppend}}, Place::kAsHolder);
    if (refusal) {
      co_await skip_upload(client_.reader(), entry.literal_waits);
      answer(tag, *refusal);
      co_return;
    }
  }

  const auto backend_tag = connection().next_tag();
  auto head = wire::write_command(backend_tag, entry.command.text, connection().literal_form());
  if (head.pieces.empty()) {
    co_await skip_upload(client_.reader(), entry.literal_waits);
    release(key);
    answer(tag, "BAD The arguments are malformed");
    co_return;
  }
  head.pieces.back().resize(head.pieces.back().size() - 2);  // the literal goes on where CRLF stands
  head.pieces.back() +=
      wire::literal_head(entry.literal_size, kind(entry.literal8), connection().literal_form());

  backend::PendingReply pending(connection());
  // Should the client vanish from here on, the backend must not take a part for a whole.
  connection().command_begun();
  connection().send(backend_tag, head.pieces.front(), pending);
  bool wanted = true;
  for (size_t i = 1; i < head.pieces.size() && wanted; ++i) {
    auto go = co_await connection().continuation(backend_tag);
    wanted = go == backend::BackendConnection::Go::kContinue;
    if (wanted) connection().send_more(head.pieces[i]);
  }
  if (wanted && connection().literal_form() == wire::LiteralForm::kSynchronising) {
    auto go = co_await connection().continuation(backend_tag);
    wanted = go == backend::BackendConnection::Go::kContinue;
  }
  if (!wanted) {  // refused before the message: over quota, no such mailbox
    connection().command_completed();
    co_await skip_upload(client_.reader(), entry.literal_waits);
  } else {
    if (entry.literal_waits) client_.writer().go_ahead("OK");
    co_await send_literals(backend_tag);
  }
  auto reply = co_await pending.wait();
  if (reply.code == "APPENDUID" && is_selected(key)) {
    wire::TokenReader uids(reply.code_arguments);  // RFC 4315: validity, UID
    if (uids.number() && uids.space()) saw_uid(uids.number().value_or(0));
  }
  release(key);
  answer(tag, reply);
}

// The message, and with MULTIAPPEND the others behind it.
Task<> ExclusiveSession::send_literals(const std::string& tag) {
  auto& reader = client_.reader();
  const auto form = connection().literal_form();
  for (;;) {
    while (!reader.upload_ready()) co_await reader.arrivals().wait();
    while (connection().unsent() > net::Stream::kHighWatermark) co_await progress_.wait();
    auto part = reader.take_upload();
    switch (part.kind) {
      case UploadPart::Kind::kData:
        connection().send_more(part.octets);
        break;
      case UploadPart::Kind::kLiteralEnd:
        break;
      case UploadPart::Kind::kTail:
        // Anything here could be a literal's head to the backend, which would take our next command for its
        // octets.
        if (!part.octets.empty()) break_off("Nothing may follow the message");
        connection().send_more("\r\n");
        connection().command_completed();
        co_return;
      case UploadPart::Kind::kLiteral: {
        if (!is_append_part(part.octets)) break_off("This form of APPEND is not supported");
        if (part.literal_size > client_.config().limits.max_message_size) break_off("The message is too big");
        connection().send_more(part.octets +
                               wire::literal_head(part.literal_size, kind(part.literal8), form));
        if (form == wire::LiteralForm::kSynchronising) {
          auto go = co_await connection().continuation(tag);
          if (go == backend::BackendConnection::Go::kAnswered) {
            connection().command_completed();
            co_await skip_upload(client_.reader(), part.literal_waits);
            co_return;
          }
        }
        if (part.literal_waits) client_.writer().go_ahead("OK");
        break;
      }
      case UploadPart::Kind::kBad:
        break_off("The command is malformed behind its literal");
      case UploadPart::Kind::kEnd:
        // The client has gone: the backend must not take the part for a whole.
        throw net::ConnectionLost(net::Side::kClient, "the client's upload broke off");
    }
  }
}

// The backend has had a part of a command that must not come to its end: its connection is severed, and with
// it the session.
void ExclusiveSession::break_off(std::string_view why) {
  if (!current_tag_.empty()) answer(std::string(current_tag_), "BAD " + std::string(why));
  client_.say_bye(why);
  throw net::ConnectionLost(net::Side::kClient, std::string(why));
}

}  // namespace imapmux::session
