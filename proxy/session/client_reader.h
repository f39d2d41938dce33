// What a client says, as a queue of commands. Keeps reading while the session is busy, so that a vanished
// client is noticed, up to a bound of commands and octets; then it stops reading.
//
// Part of a ClientSession, on its thread; it is the handler of the client's stream. Behind commands that
// change what the following octets mean (STARTTLS, LOGIN, AUTHENTICATE, IDLE) it holds: what comes next waits
// until the session says how to take it.
#pragma once

#include <memory>
#include <string>

#include "async/wait.h"
#include "base/fifo.h"
#include "net/stream.h"
#include "session/protocol_trace.h"
#include "wire/command_parser.h"

namespace imapmux::session {

// How many messages of which view the client knew of when a command was read: what its numbers mean. And how
// often the backend had been asked what is new.
struct ToldCount {
  uint64_t view = 0;  // 0: none
  uint32_t count = 0;
  uint64_t polls = 0;
};

// One thing that a client said.
struct Entry {
  enum class Kind : uint8_t {
    kCommand,
    kUpload,   // a command with streamed literals has begun: the rest comes by ClientReader::next_upload()
    kLine,     // after expect_line(): text
    kBad,      // command.tag; text is the problem
    kTooLong,  // the same; nothing more is read
    kEnd,      // the client has finished sending
  };
  Kind kind = Kind::kEnd;
  wire::Command command;
  std::string text;
  uint64_t literal_size = 0;
  bool literal_waits = false;
  bool literal8 = false;
  bool by_number = false;  // see names_messages_by_number()
  ToldCount told;
};

// A part of a command with streamed literals.
struct UploadPart {
  enum class Kind : uint8_t {
    kData,
    kLiteralEnd,
    kLiteral,  // another literal (MULTIAPPEND): text between, size
    kTail,     // the end: text behind the last literal
    kBad,      // the command turned out to be malformed
    kEnd,      // the client has gone in the middle of it
  };
  Kind kind = Kind::kEnd;
  std::string octets;  // data, or text
  uint64_t literal_size = 0;
  bool literal_waits = false;
  bool literal8 = false;
};

class ClientReader final : public net::StreamHandler {
 public:
  // What the reader tells its session, from inside the stream's callbacks.
  class Listener {
   public:
    virtual void on_client_data() noexcept = 0;  // octets came: it is alive
    virtual void on_client_eof() noexcept = 0;
    virtual void on_client_lost(const std::string& reason) noexcept = 0;
    virtual void on_client_drained() noexcept = 0;
    virtual ToldCount told_count() const noexcept = 0;
    // A command's literal may be sent now.
    virtual void on_literal_wanted() noexcept = 0;

   protected:
    ~Listener() = default;
  };

  ClientReader(Listener& listener, wire::CommandLimits limits);
  void set_stream(net::Stream* stream);
  void detach() { stream_ = nullptr; }
  // It is told of what was held already: the login that it may depend on has been read.
  void set_trace(ProtocolTrace* trace);
  void set_limits(wire::CommandLimits limits) { parser_.set_limits(limits); }

  bool empty() const { return entries_.empty(); }
  const Entry& front() const { return entries_.front(); }
  void take(Entry& entry);
  Entry take() {
    Entry entry;
    take(entry);
    return entry;
  }
  bool eof() const { return eof_; }
  // Octets that came from the client.
  uint64_t received() const { return received_; }
  // Commands that name messages by number have been read and not been taken, or may stand in what is not
  // parsed yet.
  bool numbers_ahead() const { return queued_by_number_ > 0 || !held_.empty() || !parser_.idle(); }
  // Notified when an entry or an upload part comes.
  async::WaitList& arrivals() { return arrivals_; }

  bool holding() const { return mode_ == Mode::kHeld; }
  void hold() { mode_ = Mode::kHeld; }
  // Ends holding: what was held, and what comes, is commands; or one line, then it holds again.
  void expect_commands();
  void expect_line();
  // What came behind STARTTLS in the clear is anybody's (command injection): dropped.
  void discard();
  // For a hand-over or a relay: what was held.
  std::string take_held() { return std::move(held_); }
  // In another reader's place, who had received() so many octets and held these.
  void go_on_from(uint64_t received, std::string held) {
    received_ = received;
    held_ = std::move(held);
  }

  bool upload_ready() const { return !upload_.empty(); }
  UploadPart take_upload();
  // The session answers NO before a waiting client has sent anything of the literal. False: it has begun to
  // send all the same, or did not wait, and the rest must be read with next parts.
  bool refuse_upload();

 private:
  enum class Mode : uint8_t { kCommands, kLine, kHeld, kDead };
  void on_data(std::string_view chunk) noexcept override;
  void on_eof() noexcept override;
  void on_lost(const std::string& reason) noexcept override;
  void on_drained() noexcept override { listener_.on_client_drained(); }

  bool blocked() const;
  void consume(std::string_view& octets);
  void consume_line(std::string_view& octets);
  void on_event(wire::CommandParser::Event event);
  void added(Entry& entry);
  void push_upload(UploadPart part);
  void feed_if_room();
  void feed_held();
  void pause();
  void resume();
  void end();

  Listener& listener_;
  net::Stream* stream_ = nullptr;
  ProtocolTrace* trace_ = nullptr;
  wire::CommandParser parser_;
  Mode mode_ = Mode::kCommands;
  base::Fifo<Entry> entries_;
  base::Fifo<UploadPart> upload_;
  size_t queued_octets_ = 0;  // in both queues
  size_t queued_by_number_ = 0;
  bool uploading_ = false;
  bool upload_touched_ = false;  // octets of the current literal have come
  std::string held_;
  uint64_t received_ = 0;
  async::WaitList arrivals_;
  bool paused_ = false;
  bool eof_ = false;
  bool end_pushed_ = false;
};

}  // namespace imapmux::session
