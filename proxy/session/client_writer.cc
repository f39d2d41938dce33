#include "session/client_writer.h"

#include <array>
#include <charconv>
#include <cstring>

#include "session/capability_list.h"
#include "wire/writer.h"

namespace imapmux::session {
namespace {

constexpr size_t kBacklogInMemory = 1024 * 1024;

// "* 7 FETCH " and a little more, without a string's allocation.
class Beginning {
 public:
  Beginning& operator<<(std::string_view text) {
    std::memcpy(end_, text.data(), text.size());
    end_ += text.size();
    return *this;
  }
  Beginning& operator<<(uint32_t number) {
    end_ = std::to_chars(end_, text_.data() + text_.size(), number).ptr;
    return *this;
  }
  operator std::string_view() const { return {text_.data(), static_cast<size_t>(end_ - text_.data())}; }

 private:
  std::array<char, 64> text_;
  char* end_ = text_.data();
};

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
  say({prefix, " ", text, "\r\n"});
}

void ClientWriter::say(std::initializer_list<std::string_view> pieces) {
  if (!inside_) {
    emit(pieces);
    return;
  }
  for (const auto piece : pieces) deferred_.append(piece);
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
  say({response, "\r\n"});
}

void ClientWriter::untagged_fetch(uint32_t number, std::string_view attributes) {
  say({Beginning() << "* " << number << " FETCH ", attributes, "\r\n"});
}

void ClientWriter::untagged_flags(uint32_t number, uint32_t uid, std::string_view flags) {
  Beginning beginning;
  beginning << "* " << number << " FETCH (";
  if (uid != 0) beginning << "UID " << uid << " ";
  say({beginning << "FLAGS ", flags, ")\r\n"});
}

void ClientWriter::begin_fetch(uint32_t number, std::string_view attributes,
                               const backend::LiteralStart& literal) {
  overflowed_ = overflowed_ || held_;
  flush_passed();
  emit({Beginning() << "* " << number << " FETCH ", attributes, announce(literal)});
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

void ClientWriter::abandon_response() {
  if (inside_) broken_ = true;
}

}  // namespace imapmux::session
