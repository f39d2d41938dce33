// A connection without a network: a net::Stream whose other end is the test. And a clock to go with it.
//
// The test keeps the MemoryPeer, which outlives the stream and knows what became of it. Like the real ones,
// the stream calls its handler only from outside: from feed(), eof(), lose(), deliver() and drain_to(), which
// play the event loop. A chunk is gone when the handler has returned, so that sanitizers see who keeps it.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "async/scheduler.h"
#include "net/stream.h"

namespace imapmux::testing_support {

class VirtualScheduler : public async::Scheduler {
 public:
  // In steps of its timers, so that one that was started again fires in time too.
  void advance(base::Millis by) {
    const auto end = now() + by;
    run_ready();
    while (next_timer() <= end) {
      set_now(std::max(now(), next_timer()));
      run_timers();
      run_ready();
    }
    set_now(end);
  }
};

class MemoryPeer {
 public:
  MemoryPeer() : state_(std::make_shared<State>()) {}

  // This end's stream, once.
  std::unique_ptr<net::Stream> stream() { return std::make_unique<Stream>(state_); }

  // What was written since the last call.
  std::string take_written() { return std::exchange(state_->written, {}); }
  const std::string& written() const { return state_->written; }
  bool reading() const { return state_->reading; }
  bool finished() const { return state_->finished; }
  bool aborted() const { return state_->aborted; }
  bool closed() const { return state_->closed; }  // the stream is destroyed

  // Octets from the peer. While nobody reads they wait, for deliver().
  void feed(std::string_view octets) {
    state_->pending += octets;
    deliver();
  }
  void eof() {
    state_->eof = true;
    deliver();
  }
  void lose(const std::string& reason) {
    state_->lost = true;
    if (auto* handler = std::exchange(state_->handler, nullptr)) handler->on_lost(reason);
  }
  // What start_reading() makes the event loop do next.
  void deliver() {
    State& state = *state_;
    if (!state.reading || !state.handler || state.lost) return;
    if (!state.pending.empty()) {
      // On the heap and of exactly its size.
      const auto octets = std::exchange(state.pending, {});
      const std::unique_ptr<char[]> chunk(new char[octets.size()]);
      std::copy(octets.begin(), octets.end(), chunk.get());
      state.handler->on_data({chunk.get(), octets.size()});
    }
    if (state.eof && !state.eof_told && state.reading && state.handler && state.pending.empty()) {
      state.eof_told = true;
      state.handler->on_eof();
    }
  }
  size_t undelivered() const { return state_->pending.size(); }

  // What unsent() says: the kernel takes nothing.
  void jam(size_t octets) { state_->unsent = octets; }
  void drain_to(size_t octets) {
    state_->unsent = octets;
    if (state_->handler) state_->handler->on_drained();
  }
  net::PeerFacts& facts() { return state_->facts; }

 private:
  struct State {
    net::StreamHandler* handler = nullptr;
    std::string written;
    std::string pending;
    net::PeerFacts facts;
    size_t unsent = 0;
    bool reading = false;
    bool eof = false;
    bool eof_told = false;
    bool lost = false;
    bool finished = false;
    bool aborted = false;
    bool closed = false;
  };

  class Stream final : public net::Stream {
   public:
    explicit Stream(std::shared_ptr<State> state) : state_(std::move(state)) {}
    ~Stream() override {
      state_->handler = nullptr;
      state_->closed = true;
    }
    void set_handler(net::StreamHandler* handler) override { state_->handler = handler; }
    void start_reading() override { state_->reading = true; }
    void stop_reading() override { state_->reading = false; }
    void write(std::string_view octets) override {
      if (!state_->lost && !state_->finished && !state_->aborted) state_->written += octets;
    }
    void write_through(std::string_view octets) override { write(octets); }
    void finish() override { state_->finished = true; }
    size_t unsent() const override { return state_->unsent; }
    void abort() override { state_->aborted = true; }
    const net::PeerFacts& peer() const override { return state_->facts; }

   private:
    std::shared_ptr<State> state_;
  };

  std::shared_ptr<State> state_;
};

}  // namespace imapmux::testing_support
