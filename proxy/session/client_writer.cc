#include "session/client_writer.h"

#include <fmt/core.h>

#include <array>
#include <charconv>

#include "session/capability_list.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

constexpr size_t kBacklogInMemory = 1024 * 1024;

}  // namespace

void ClientWriter::emit(std::initializer_list<std::string_view> pieces) {
  if (broken_ || !stream_) return;
  for (const auto piece : pieces) sent_ += piece.size();
  if (!trace_ && !backlog_) {
    stream_->write_all(pieces);
    return;
  }
  for (const auto piece : pieces) {
    if (trace_) trace_->client_got(piece);
    if (!backlog_) {
      stream_->write(piece);
    } else {
      put_by(piece);
      if (broken_) return;
    }
  }
}

void ClientWriter::put_by(std::string_view octets) {
  if (backlog_->size() + octets.size() > most_in_backlog_) {
    give_up_backlog("more than max_backlog waits for it");
    return;
  }
  try {
    backlog_->append(octets);
  } catch (const net::SpoolError& error) {
    give_up_backlog(error.what());
  }
}

void ClientWriter::begin_backlog(net::SpoolLimits& limits, uint64_t most,
                                 std::function<void(std::string)> on_overflow) {
  if (backlog_ || broken_) return;
  backlog_ = std::make_unique<net::Spool>(limits, kBacklogInMemory);
  most_in_backlog_ = most;
  on_overflow_ = std::move(on_overflow);
}

void ClientWriter::give_up_backlog(const std::string& why) {
  broken_ = true;
  backlog_.reset();
  if (const auto tell = std::exchange(on_overflow_, nullptr)) tell(why);
}

void ClientWriter::drain_backlog() {
  while (backlog_ && stream_ && stream_->unsent() < net::Stream::kHighWatermark) {
    try {
      const auto piece = backlog_->front();
      if (piece.empty()) {
        backlog_.reset();
        return;
      }
      stream_->write(piece);
      backlog_->pop(piece.size());
    } catch (const net::SpoolError& error) {
      give_up_backlog(error.what());
    }
  }
}

void ClientWriter::line(std::string_view prefix, std::string_view text) {
  if (inside_) {
    deferred_.append(prefix).append(" ").append(text).append("\r\n");
    return;
  }
  emit({prefix, " ", text, "\r\n"});
}

void ClientWriter::untagged(std::string_view text) {
  line("*", text);
}

void ClientWriter::tagged(std::string_view tag, std::string_view text) {
  line(tag, text);
}

void ClientWriter::tagged(std::string_view tag, const backend::TaggedReply& reply) {
  if (!is_hidden_code(reply.code)) {
    line(tag, backend::to_text(reply));
    return;
  }
  auto shown = reply;
  shown.code.clear();
  line(tag, backend::to_text(shown));
}

void ClientWriter::go_ahead(std::string_view text) {
  line("+", text);
}

void ClientWriter::hold_passed(size_t most) {
  held_.emplace();
  inside_held_ = overflowed_ = false;
  most_held_ = most;
}

void ClientWriter::release_passed() {
  flush_passed();
  overflowed_ = false;
}

bool ClientWriter::drop_passed() {
  held_.reset();
  inside_held_ = false;
  return !std::exchange(overflowed_, false);
}

void ClientWriter::flush_passed() {
  if (!held_) return;
  const auto held = *std::exchange(held_, std::nullopt);
  emit({held});
  inside_ = inside_ || std::exchange(inside_held_, false);
}

// Octets of a response that is passed on.
void ClientWriter::pass(std::string_view octets) {
  if (held_ && held_->size() + octets.size() > most_held_) {
    overflowed_ = true;
    flush_passed();
  }
  if (held_) {
    held_->append(octets);
  } else {
    emit({octets});
  }
}

void ClientWriter::pass_line(std::string_view response) {
  if (held_) {
    pass(response);
    pass("\r\n");
    return;
  }
  if (inside_) {
    deferred_.append(response).append("\r\n");
    return;
  }
  emit({response, "\r\n"});
}

void ClientWriter::emit_fetch(uint32_t number, std::string_view attributes, std::string_view end) {
  std::array<char, 12> digits;
  const auto last = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  emit({"* ", std::string_view(digits.data(), last), " FETCH ", attributes, end});
}

void ClientWriter::untagged_fetch(uint32_t number, std::string_view attributes) {
  if (inside_) {
    deferred_ += fmt::format("* {} FETCH {}\r\n", number, attributes);
    return;
  }
  emit_fetch(number, attributes, "\r\n");
}

void ClientWriter::begin_fetch(uint32_t number, std::string_view attributes,
                               const backend::LiteralStart& literal) {
  overflowed_ = overflowed_ || held_;
  flush_passed();
  emit_fetch(number, attributes, announce(literal));
  inside_ = true;
}

std::string ClientWriter::announce(const backend::LiteralStart& literal) {
  return (literal.literal8 ? "~{" : "{") + std::to_string(literal.size) + "}\r\n";
}

void ClientWriter::pass_start(std::string_view response, const backend::LiteralStart& literal) {
  (held_ ? inside_held_ : inside_) = true;
  pass(response);
  pass(announce(literal));
}

void ClientWriter::pass_literal(std::string_view octets) {
  pass(octets);
}

void ClientWriter::pass_text(std::string_view text, const backend::LiteralStart* literal) {
  pass(text);
  if (literal) {
    pass(announce(*literal));
    return;
  }
  pass("\r\n");
  if (held_) {
    inside_held_ = false;
    return;
  }
  inside_ = false;
  emit({deferred_});
  deferred_.clear();
}

void ClientWriter::pass_through(std::string_view octets) {
  if (!stream_) return;
  if (trace_) trace_->client_got(octets);
  sent_ += octets.size();
  stream_->write_through(octets);
}

void ClientWriter::abandon_response() {
  if (inside_) broken_ = true;
}

}  // namespace imapmux::session
