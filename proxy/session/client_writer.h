// What a client is told. All lines of a session go through here, so that none lands inside another response:
// while a response with literals is passed on piece by piece, other lines wait for its end.
//
// Part of a ClientSession, on its thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backend/backend_connection.h"
#include "net/spool.h"
#include "net/stream.h"
#include "session/protocol_trace.h"

namespace imapmux::session {

class ClientWriter {
 public:
  // nullptr: the client has gone, nothing is written any more.
  void set_stream(net::Stream* stream) { stream_ = stream; }
  void set_trace(ProtocolTrace* trace) { trace_ = trace; }

  // "* text"
  void untagged(std::string_view text);
  // "tag text", as in "OK NOOP completed", "BAD [CODE] text".
  void tagged(std::string_view tag, std::string_view text);
  // A backend's answer under the client's tag.
  void tagged(std::string_view tag, const backend::TaggedReply& reply);
  // "+ text"
  void go_ahead(std::string_view text);
  // A response as a backend wrote it, without its line end.
  void pass_line(std::string_view line);
  // "* number FETCH (UID uid FLAGS flags)"; `uid` 0 is not said.
  void untagged_flags(uint32_t number, uint32_t uid, std::string_view flags);
  // "* number FETCH attributes", and with a literal behind them: then as behind pass_start().
  void untagged_fetch(uint32_t number, std::string_view attributes);
  void begin_fetch(uint32_t number, std::string_view attributes, const backend::LiteralStart& literal);
  // The same for one with a literal: pass_start(), pass_literal()…, pass_text(), until there is no more
  // literal.
  void pass_start(std::string_view line, const backend::LiteralStart& literal);
  void pass_literal(std::string_view octets);
  void pass_text(std::string_view text, const backend::LiteralStart* literal);
  // What is passed on from here on waits for release_passed() or drop_passed(); if it becomes more than
  // `most` octets, it goes out after all, and what follows at once.
  void hold_passed(size_t most);
  void release_passed();
  // The answers will come again. False: some went out already.
  bool drop_passed();

  // Octets that the client was sent, or will be.
  uint64_t sent() const { return sent_; }
  // In another writer's place, who had sent() so many.
  void go_on_from(uint64_t sent) { sent_ = sent; }

  bool inside_response() const { return inside_; }
  // The rest of the response that is being passed on will never come.
  void abandon_response();
  // What waits to be sent, lines that wait for the end of a response and the backlog included.
  size_t unsent() const { return unsent_ahead() + (stream_ ? deferred_.size() : 0); }
  // The same without those lines.
  size_t unsent_ahead() const {
    if (!stream_) return 0;
    return stream_->unsent() + (backlog_ ? static_cast<size_t>(backlog_->size()) : 0);
  }

  // The client reads slowly, and others wait for the connection its answers come on: until it has taken all,
  // what it is told waits in a spool, at most `most` octets. `on_overflow` is called, once, when that is not
  // enough or the disk fails: then part of an answer is missing, and nothing more can be said to it.
  void begin_backlog(net::SpoolLimits& limits, uint64_t most, std::function<void(std::string)> on_overflow);
  bool backlogged() const { return backlog_ != nullptr; }
  // The stream has room again.
  void drain_backlog();

 private:
  void line(std::string_view prefix, std::string_view text);
  // A whole line: behind the response that is being passed on.
  void say(std::initializer_list<std::string_view> pieces);
  void emit(std::initializer_list<std::string_view> pieces);
  void put_by(std::string_view octets);
  void pass(std::string_view octets);
  void flush_passed();
  void give_up_backlog(const std::string& why);
  static std::string announce(const backend::LiteralStart& literal);

  net::Stream* stream_ = nullptr;
  ProtocolTrace* trace_ = nullptr;
  uint64_t sent_ = 0;
  bool inside_ = false;
  std::optional<std::string> held_;  // passed on, and held
  bool inside_held_ = false;         // in the middle of a response
  size_t most_held_ = 0;
  bool overflowed_ = false;
  bool broken_ = false;
  std::string deferred_;
  std::unique_ptr<net::Spool> backlog_;
  uint64_t most_in_backlog_ = 0;
  std::function<void(std::string)> on_overflow_;
};

}  // namespace imapmux::session
