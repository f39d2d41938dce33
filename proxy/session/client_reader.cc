#include "session/client_reader.h"

#include <cassert>

#include "session/command_check.h"

namespace imapmux::session {
namespace {

using wire::CommandParser;
using wire::Verb;

constexpr size_t kMostCommands = 256;
constexpr size_t kMostOctets = 256 * 1024;
constexpr size_t kMostHeld = 64 * 1024;
constexpr size_t kUploadPiece = 64 * 1024;

// What follows these is read only when they have been executed.
bool changes_what_follows(Verb verb) {
  return verb == Verb::kStarttls || verb == Verb::kLogin || verb == Verb::kAuthenticate ||
         verb == Verb::kIdle;
}

size_t octets_of(const Entry& entry) {
  return entry.command.text.size() + entry.text.size();
}

}  // namespace

ClientReader::ClientReader(Listener& listener, wire::CommandLimits limits)
    : listener_(listener), parser_(limits) {}

void ClientReader::set_stream(net::Stream* stream) {
  stream_ = stream;
  stream_->set_handler(this);
  paused_ = false;
  stream_->start_reading();
}

void ClientReader::set_trace(ProtocolTrace* trace) {
  trace_ = trace;
  if (!held_.empty()) trace_->client_said(held_);
}

void ClientReader::take(Entry& entry) {
  entries_.take(entry);
  queued_octets_ -= octets_of(entry);
  if (entry.by_number) --queued_by_number_;
  feed_if_room();
}

UploadPart ClientReader::take_upload() {
  UploadPart part = upload_.take();
  queued_octets_ -= part.octets.size();
  feed_if_room();
  return part;
}

bool ClientReader::refuse_upload() {
  if (upload_touched_ || !upload_.empty() || !held_.empty()) return false;
  parser_.refuse_literal();
  if (trace_) trace_->literal_refused();
  uploading_ = false;
  return true;
}

void ClientReader::expect_commands() {
  if (mode_ == Mode::kDead) return;  // nothing is parsed any more
  mode_ = Mode::kCommands;
  feed_held();
}

void ClientReader::expect_line() {
  if (mode_ == Mode::kDead) return;
  mode_ = Mode::kLine;
  feed_held();
}

void ClientReader::discard() {
  held_.clear();
  held_.shrink_to_fit();
}

bool ClientReader::blocked() const {
  return mode_ == Mode::kHeld || mode_ == Mode::kDead || entries_.size() >= kMostCommands ||
         queued_octets_ >= kMostOctets;
}

void ClientReader::on_data(std::string_view chunk) noexcept {
  if (trace_) trace_->client_said(chunk);
  received_ += chunk.size();
  listener_.on_client_data();
  if (mode_ == Mode::kDead) return;
  if (held_.empty()) consume(chunk);
  held_.append(chunk);
  if (held_.size() > kMostHeld) pause();
}

void ClientReader::consume(std::string_view& octets) {
  while (!blocked() && !octets.empty()) {
    if (mode_ == Mode::kLine) {
      consume_line(octets);
      continue;
    }
    const auto event = parser_.next(octets);
    if (event == CommandParser::Event::kNeedMore) return;
    on_event(event);
  }
}

void ClientReader::consume_line(std::string_view& octets) {
  const auto event = parser_.next_line(octets);
  if (event == CommandParser::Event::kNeedMore) return;
  auto& entry = entries_.emplace();
  if (event == CommandParser::Event::kTooLong) {
    entry.kind = Entry::Kind::kTooLong;
    entry.text = "Line too long";
    mode_ = Mode::kDead;
  } else {
    entry.kind = Entry::Kind::kLine;
    entry.text = parser_.line();
    mode_ = Mode::kHeld;
  }
  added(entry);
}

void ClientReader::on_event(CommandParser::Event event) {
  using Event = CommandParser::Event;
  switch (event) {
    case Event::kNeedMore:
      return;
    case Event::kContinue:
      listener_.on_literal_wanted();
      return;
    case Event::kCommand: {
      if (uploading_) {
        uploading_ = false;
        push_upload({UploadPart::Kind::kTail, parser_.take().text});
        return;
      }
      auto& entry = entries_.emplace();
      entry.kind = Entry::Kind::kCommand;
      parser_.take(entry.command);
      if (changes_what_follows(entry.command.verb)) mode_ = Mode::kHeld;
      added(entry);
      return;
    }
    case Event::kLiteralStart: {
      upload_touched_ = false;
      if (uploading_) {
        push_upload({UploadPart::Kind::kLiteral, parser_.take().text, parser_.literal_size(),
                     parser_.literal_waits(), parser_.literal8()});
        return;
      }
      uploading_ = true;
      auto& entry = entries_.emplace();
      entry.kind = Entry::Kind::kUpload;
      entry.literal_size = parser_.literal_size();
      entry.literal_waits = parser_.literal_waits();
      entry.literal8 = parser_.literal8();
      parser_.take(entry.command);
      added(entry);
      return;
    }
    case Event::kLiteralData: {
      upload_touched_ = true;
      const auto data = parser_.data();
      queued_octets_ += data.size();
      if (!upload_.empty() && upload_.back().kind == UploadPart::Kind::kData &&
          upload_.back().octets.size() + data.size() <= kUploadPiece) {
        upload_.back().octets.append(data);
      } else {
        upload_.push({UploadPart::Kind::kData, std::string(data)});
      }
      arrivals_.notify_all();
      return;
    }
    case Event::kLiteralEnd:
      push_upload({UploadPart::Kind::kLiteralEnd, {}});
      return;
    case Event::kBad: {
      if (uploading_) {
        uploading_ = false;
        push_upload({UploadPart::Kind::kBad, parser_.problem()});
        return;
      }
      auto& entry = entries_.emplace();
      entry.kind = Entry::Kind::kBad;
      entry.command.tag = parser_.tag();
      entry.text = parser_.problem();
      added(entry);
      return;
    }
    case Event::kTooLong: {
      if (uploading_) push_upload({UploadPart::Kind::kBad, parser_.problem()});
      auto& entry = entries_.emplace();
      entry.kind = Entry::Kind::kTooLong;
      if (!uploading_) {  // else the upload's end is what is answered
        entry.command.tag = parser_.tag();
        entry.text = parser_.problem();
      }
      mode_ = Mode::kDead;
      added(entry);
      return;
    }
  }
}

// The last one of the queue is complete.
void ClientReader::added(Entry& entry) {
  queued_octets_ += octets_of(entry);
  entry.by_number = names_messages_by_number(entry.command);
  if (entry.by_number) ++queued_by_number_;
  entry.told = listener_.told_count();
  arrivals_.notify_all();
}

void ClientReader::push_upload(UploadPart part) {
  queued_octets_ += part.octets.size();
  upload_.push(std::move(part));
  arrivals_.notify_all();
}

void ClientReader::feed_if_room() {
  if (mode_ == Mode::kHeld || (held_.empty() && !paused_)) return;
  // By halves: feeding copies what is left.
  if (entries_.size() <= kMostCommands / 2 && queued_octets_ <= kMostOctets / 2) feed_held();
}

void ClientReader::feed_held() {
  std::string octets = std::exchange(held_, {});
  std::string_view rest = octets;
  consume(rest);
  if (!rest.empty()) held_.assign(rest);
  if (eof_) end();
  if (held_.size() <= kMostHeld / 2) resume();
}

void ClientReader::pause() {
  if (paused_ || !stream_) return;
  paused_ = true;
  stream_->stop_reading();
}

void ClientReader::resume() {
  if (!paused_ || !stream_) return;
  paused_ = false;
  stream_->start_reading();
}

void ClientReader::end() {
  // The end stands behind what was complete before it.
  if (end_pushed_ || (!held_.empty() && mode_ != Mode::kDead)) return;
  end_pushed_ = true;
  if (uploading_) push_upload({UploadPart::Kind::kEnd, {}});
  added(entries_.emplace());
}

void ClientReader::on_eof() noexcept {
  eof_ = true;
  end();
  listener_.on_client_eof();
}

void ClientReader::on_lost(const std::string& reason) noexcept {
  listener_.on_client_lost(reason);
}

}  // namespace imapmux::session
