// A ClientReader whose client is the test; what it tells is one log.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "session/client_reader.h"
#include "support/memory_stream.h"

namespace imapmux::session {

class ReaderHarness : private ClientReader::Listener {
 public:
  explicit ReaderHarness(wire::CommandLimits limits = {}) : reader(*this, limits) {
    reader.set_stream(stream_.get());
  }
  ReaderHarness(const ReaderHarness&) = delete;
  ReaderHarness& operator=(const ReaderHarness&) = delete;

  void say(std::string_view octets) { peer.feed(octets); }
  std::string take_log() { return std::exchange(log, {}); }

  // Takes one entry, with all of an upload that has come so far; "" if there is none.
  std::string take() {
    using Kind = Entry::Kind;
    if (reader.empty()) return "";
    auto entry = reader.take();
    const std::string tag = entry.command.tag;
    switch (entry.kind) {
      case Kind::kCommand:
        return tag + " <" + entry.command.text + ">\n";
      case Kind::kUpload:
        return tag + " upload <" + entry.command.text + "> " +
               head(entry.literal_size, entry.literal_waits, entry.literal8) + "\n" + take_parts();
      case Kind::kLine:
        return "line <" + entry.text + ">\n";
      case Kind::kBad:
        return tag + " bad: " + entry.text + "\n";
      case Kind::kTooLong:
        return tag + " too long: " + entry.text + "\n";
      case Kind::kEnd:
        return "end\n";
    }
    return "";
  }
  std::string take_all() {
    std::string all;
    while (!reader.empty()) all += take();
    return all;
  }
  // Up to the end of the upload or of what has come; data is joined.
  std::string take_parts() {
    using Kind = UploadPart::Kind;
    std::string out;
    while (reader.upload_ready()) {
      auto part = reader.take_upload();
      if (part.kind == Kind::kData) {
        data_ += part.octets;
        continue;
      }
      if (!data_.empty()) out += "data <" + std::exchange(data_, {}) + ">\n";
      switch (part.kind) {
        case Kind::kData:
          break;
        case Kind::kLiteralEnd:
          out += "literal end\n";
          break;
        case Kind::kLiteral:
          out += "literal <" + part.octets + "> " +
                 head(part.literal_size, part.literal_waits, part.literal8) + "\n";
          break;
        case Kind::kTail:
          return out + "tail <" + part.octets + ">\n";
        case Kind::kBad:
          return out + "upload bad: " + part.octets + "\n";
        case Kind::kEnd:
          return out + "upload end\n";
      }
    }
    return out;
  }
  std::string pending_data() { return std::exchange(data_, {}); }

  testing_support::MemoryPeer peer;
  std::string log;

 private:
  std::unique_ptr<net::Stream> stream_ = peer.stream();

 public:
  ClientReader reader;

 private:
  static std::string head(uint64_t size, bool waits, bool literal8) {
    return (literal8 ? "~{" : "{") + std::to_string(size) + (waits ? "}" : "+}");
  }
  void on_client_data() noexcept override { ++chunks; }
  void on_client_eof() noexcept override { log += "eof\n"; }
  void on_client_lost(const std::string& reason) noexcept override { log += "lost: " + reason + "\n"; }
  void on_client_drained() noexcept override { log += "drained\n"; }
  void on_literal_wanted() noexcept override { log += "wanted\n"; }
  ToldCount told_count() const noexcept override { return {}; }

  std::string data_;

 public:
  int chunks = 0;
};

}  // namespace imapmux::session
