#include "session/protocol_trace.h"

#include "base/bytes.h"
#include "base/log.h"

namespace imapmux::session {
namespace {

constexpr size_t kLongest = 512;

// Message texts that came as quoted strings or short literals: everything behind the first such item.
std::string_view without_bodies(std::string_view line) {
  for (const std::string_view item : {"BODY[", "RFC822 ", "RFC822.TEXT ", "RFC822.HEADER ", "BINARY["}) {
    const auto at = base::upper(line).find(item);
    if (at != std::string_view::npos) line = line.substr(0, at + item.size());
  }
  return line;
}

// RFC 4422, 3.1. A secret in its place has letters of both kinds.
bool is_mechanism(std::string_view text) {
  return text.size() <= 20 && (base::upper(text) == text || base::lower(text) == text);
}

}  // namespace

ProtocolTrace::ProtocolTrace(std::string label)
    : label_(std::move(label)), commands_({.max_command = 1024 * 1024, .max_literal = 64 * 1024}) {}

void ProtocolTrace::log(std::string_view direction, std::string_view text) {
  // Whatever log.level is: it was asked for.
  base::log::write(base::log::Level::kInfo,
                   fmt::format("trace {} {} {}", label_, direction, text.substr(0, kLongest)));
}

void ProtocolTrace::client_said(std::string_view octets) {
  using Event = wire::CommandParser::Event;
  while (!octets.empty() && !stopped_) {
    if (lines_) {
      if (commands_.next_line(octets) != Event::kCommand) continue;
      const bool is_done = idling_ && base::equals_ignore_case(commands_.line(), "DONE");
      log("C:", is_done ? commands_.line() : "***");
      if (!is_done) hide_answer_to(commands_.line());
      if (idling_) lines_ = idling_ = false;
      continue;
    }
    switch (commands_.next(octets)) {
      case Event::kCommand:
        log_command(commands_.take(), "");
        break;
      case Event::kLiteralStart: {
        const auto size = commands_.literal_size();
        const bool waits = commands_.literal_waits();
        auto command = commands_.take();
        if (waits) upload_tag_ = command.tag;
        log_command(command, "{" + std::to_string(size) + " octets}");
        break;
      }
      case Event::kBad:
        // What looks like a tag can be a password on the wrong line.
        hide_answer_to(commands_.tag());
        log("C:", "(malformed)");
        break;
      case Event::kTooLong:
        log("C:", "(too long)");
        stopped_ = true;
        break;
      case Event::kLiteralData:
        upload_tag_.clear();  // it is coming
        break;
      case Event::kNeedMore:
      case Event::kContinue:
      case Event::kLiteralEnd:
        break;
    }
  }
}

void ProtocolTrace::hide_answer_to(std::string_view line) {
  hidden_tags_.emplace(line.substr(0, line.find(' ')));
}

void ProtocolTrace::literal_refused() {
  if (upload_tag_.empty()) return;
  upload_tag_.clear();
  commands_.refuse_literal();
}

void ProtocolTrace::log_command(const wire::Command& command, std::string_view tail) {
  using wire::Verb;
  if (command.verb == Verb::kUnknown) {
    hide_answer_to(command.tag);
    log("C:", "(unknown)");
    return;
  }
  if (command.verb == Verb::kLogin) {
    log("C:", command.tag + " LOGIN ***");
    return;
  }
  if (command.verb == Verb::kAuthenticate) {
    auto reader = command.reader();
    const auto mechanism = reader.atom();
    const bool is_shown = mechanism && is_mechanism(*mechanism);
    log("C:", command.tag + " AUTHENTICATE " + (is_shown ? std::string(*mechanism) : "***") +
                  (reader.at_end() ? "" : " ***"));
    secret_tag_ = command.tag;
    lines_ = true;
    return;
  }
  if (command.verb == Verb::kIdle) lines_ = idling_ = true;
  log("C:", command.tag + " " + command.text + std::string(tail));
}

void ProtocolTrace::client_got(std::string_view octets) {
  using Event = wire::ResponseParser::Event;
  while (!octets.empty() && !stopped_) {
    switch (responses_.next(octets)) {
      case Event::kNeedMore:
        return;
      case Event::kResponse:
        log_response(responses_.response());
        break;
      case Event::kLiteralData:
        break;
      case Event::kText:
        log("S:", "… " + std::string(without_bodies(responses_.text())));
        break;
      case Event::kMalformed:
        stopped_ = true;
        break;
    }
  }
}

void ProtocolTrace::log_response(const wire::Response& response) {
  if (response.kind == wire::Response::Kind::kContinuation && !secret_tag_.empty()) {
    log("S:", "+ ***");
    return;
  }
  if (response.kind == wire::Response::Kind::kTagged) {
    if (response.tag == secret_tag_) secret_tag_.clear();
    if (secret_tag_.empty()) lines_ = idling_ = false;
    if (response.tag == upload_tag_) literal_refused();
  }
  std::string text(without_bodies(response.line));
  if (response.kind == wire::Response::Kind::kTagged && hidden_tags_.erase(std::string(response.tag)) > 0)
    text = "***" + text.substr(response.tag.size());
  if (response.literal_follows) text += "{" + std::to_string(responses_.literal_size()) + " octets}";
  log("S:", text);
}

}  // namespace imapmux::session
