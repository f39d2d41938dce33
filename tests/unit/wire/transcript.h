// What a parser says to some input, as one text to compare: the same input in other pieces must give the same
// text. Used by unit tests and fuzzers alike.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire/command_parser.h"
#include "wire/response_parser.h"

namespace imapmux::wire {

using Chunks = std::vector<std::string_view>;

// A copy in memory of exactly its size, so that sanitizers see every octet read too far, or too late.
class Chunk {
 public:
  explicit Chunk(std::string_view octets) : octets_(new char[octets.size()]), size_(octets.size()) {
    if (size_ > 0) std::memcpy(octets_.get(), octets.data(), size_);
  }
  std::string_view view() const { return {octets_.get(), size_}; }

 private:
  std::unique_ptr<char[]> octets_;
  size_t size_;
};

// Collects lines, and joins the pieces of literals: how they are cut does not matter.
class Transcript {
 public:
  void line(std::string text) {
    end_data();
    text_ += text;
    text_ += '\n';
  }
  void data(std::string_view octets) {
    has_data_ = true;
    data_ += octets;
  }
  std::string finish() {
    end_data();
    return std::move(text_);
  }

 private:
  void end_data() {
    if (!has_data_) return;
    text_ += "data <" + std::exchange(data_, {}) + ">\n";
    has_data_ = false;
  }

  std::string text_;
  std::string data_;
  bool has_data_ = false;
};

struct CommandOptions {
  CommandLimits limits;
  bool refuse = false;  // every streamed literal
};

inline std::string command_transcript(const Chunks& chunks, CommandOptions options = {}) {
  using Event = CommandParser::Event;
  CommandParser parser(options.limits);
  Transcript out;
  const auto command = [&](std::string label) {
    const Command taken = parser.take();
    out.line(label + " [" + taken.tag + "] " + std::string(info(taken.verb).name) + " <" + taken.text +
             "> <" + std::string(taken.arguments()) + ">");
  };
  for (const std::string_view part : chunks) {
    const Chunk chunk(part);
    std::string_view input = chunk.view();
    for (Event event = parser.next(input); event != Event::kNeedMore; event = parser.next(input)) {
      switch (event) {
        case Event::kNeedMore:
          break;
        case Event::kCommand:
          command("command");
          break;
        case Event::kContinue:
          out.line("continue");
          break;
        case Event::kLiteralStart:
          command(std::string(parser.literal8() ? "~" : "") + "{" + std::to_string(parser.literal_size()) +
                  (parser.literal_waits() ? "}" : "+}"));
          if (options.refuse) parser.refuse_literal();
          break;
        case Event::kLiteralData:
          out.data(parser.data());
          break;
        case Event::kLiteralEnd:
          out.line("end");
          break;
        case Event::kBad:
          out.line("bad [" + parser.tag() + "] " + parser.problem());
          break;
        case Event::kTooLong:
          out.line("too long [" + parser.tag() + "] " + parser.problem());
          break;
      }
    }
    if (!input.empty()) out.line("input is left");
  }
  out.line(parser.idle() ? "idle" : "busy");
  return out.finish();
}

inline std::string describe(const Response& response) {
  std::string out;
  switch (response.kind) {
    case Response::Kind::kUntagged:
      out = "untagged";
      break;
    case Response::Kind::kTagged:
      out = "tagged [" + std::string(response.tag) + "]";
      break;
    case Response::Kind::kContinuation:
      out = "continuation";
      break;
  }
  out += " name=" + std::to_string(static_cast<int>(response.name));
  if (response.has_number) out += " number=" + std::to_string(response.number);
  out += " <" + std::string(response.line) + "> arguments=<" + std::string(response.arguments) + ">";
  if (!response.code.empty()) {
    out += " code=<" + std::string(response.code) + "> <" + std::string(response.code_arguments) + ">";
  }
  return out;
}

inline std::string response_transcript(const Chunks& chunks, ResponseLimits limits = {}) {
  using Event = ResponseParser::Event;
  ResponseParser parser(limits);
  Transcript out;
  const auto literal = [&] {
    return std::string(parser.literal8() ? " then ~{" : " then {") + std::to_string(parser.literal_size()) +
           "}";
  };
  for (const std::string_view part : chunks) {
    const Chunk chunk(part);
    std::string_view input = chunk.view();
    for (Event event = parser.next(input); event != Event::kNeedMore; event = parser.next(input)) {
      switch (event) {
        case Event::kNeedMore:
          break;
        case Event::kResponse:
          out.line(describe(parser.response()) + (parser.response().literal_follows ? literal() : ""));
          break;
        case Event::kLiteralData:
          out.data(parser.data());
          break;
        case Event::kText:
          out.line("text <" + std::string(parser.text()) + ">" + (parser.more_literal() ? literal() : ""));
          break;
        case Event::kMalformed:
          out.line("malformed: " + parser.problem());
          break;
      }
    }
    if (!input.empty()) out.line("input is left");
  }
  out.line(parser.idle() ? "idle" : "busy");
  return out.finish();
}

}  // namespace imapmux::wire
