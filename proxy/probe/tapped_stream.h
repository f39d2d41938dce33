// A stream that shows what passes to a Tap. Owned like any stream, by the connection that uses it; the tap
// outlives it.
#pragma once

#include <memory>

#include "net/stream.h"
#include "probe/transcript.h"

namespace imapmux::probe {

class TappedStream final : public net::Stream, private net::StreamHandler {
 public:
  TappedStream(std::unique_ptr<net::Stream> inner, Tap& tap) : inner_(std::move(inner)), tap_(tap) {}
  ~TappedStream() override { inner_->set_handler(nullptr); }

  void set_handler(net::StreamHandler* handler) override {
    handler_ = handler;
    inner_->set_handler(handler ? this : nullptr);
  }
  void start_reading() override { inner_->start_reading(); }
  void stop_reading() override { inner_->stop_reading(); }
  void write(std::string_view octets) override {
    tap_.sent(octets);
    inner_->write(octets);
  }
  void write_through(std::string_view octets) override { write(octets); }
  void finish() override { inner_->finish(); }
  size_t unsent() const override { return inner_->unsent(); }
  void abort() override { inner_->abort(); }
  const net::PeerFacts& peer() const override { return inner_->peer(); }

 private:
  void on_data(std::string_view chunk) noexcept override {
    tap_.received(chunk);
    handler_->on_data(chunk);
  }
  void on_eof() noexcept override { handler_->on_eof(); }
  void on_lost(const std::string& reason) noexcept override { handler_->on_lost(reason); }
  void on_drained() noexcept override { handler_->on_drained(); }

  std::unique_ptr<net::Stream> inner_;
  Tap& tap_;
  net::StreamHandler* handler_ = nullptr;
};

}  // namespace imapmux::probe
