// A libuv loop as a scheduler: one per worker thread. Everything but post() and stop() is for its own thread.
//
// A turn is one outermost callback of libuv: at its end the ready list is drained and what was written is
// sent, one writev per stream. Every callback of libuv is wrapped in a Turn.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "async/scheduler.h"
#include "async/wait.h"

namespace imapmux::net {

// A stream with octets to send at the end of the turn. Unlinks itself when it is destroyed.
class Flushable : public base::ListNode {
 public:
  virtual void flush() = 0;

 protected:
  ~Flushable() = default;
};

// A socket that outlives its stream while its last octets are sent. The loop closes it when the loop ends.
class Lingering : public base::ListNode {
 public:
  virtual void close_now() = 0;
  virtual bool has_unsent() const = 0;

 protected:
  ~Lingering() = default;
};

class EventLoop final : public async::Scheduler {
 public:
  using Work = std::move_only_function<void()>;
  static constexpr size_t kReadBuffer = 64 * 1024;
  static constexpr size_t kPlainBuffer = 16 * 1024 + 256;

  EventLoop();
  // Everything on the loop must be gone, but for lingering sockets, which are closed now.
  ~EventLoop() override;

  void run();   // until stop()
  void stop();  // any thread
  // Runs `work` on the loop's thread, soon. Any thread. False: the loop has ended, and `work` is dropped.
  bool post(Work work);

  // A turn from outside libuv: set-up code, tests.
  class Turn {
   public:
    explicit Turn(EventLoop& loop);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    EventLoop& loop_;
  };

  uv_loop_t* uv() { return &loop_; }
  void add_flushable(Flushable& stream) { dirty_.push_back(stream); }
  // Some of them still have octets that the kernel has not taken.
  bool lingers_with_unsent() const;
  void add_lingering(Lingering& socket) { lingering_.push_back(socket); }
  // One chunk at a time: valid until the next wait. Who fills one says how far.
  char* read_buffer() { return read_buffer_.get(); }
  char* plain_buffer() { return plain_buffer_.get(); }
  void filled_read_buffer(size_t size) { read_filled_ = std::max(read_filled_, size); }
  void filled_plain_buffer(size_t size) { plain_filled_ = std::max(plain_filled_, size); }
  // Passwords have passed through the read buffers; from a task only, when no callback is using them.
  void wipe_buffers();
  // Buffers for output that go round, so that an idle stream holds none.
  std::string take_buffer();
  void give_buffer(std::string buffer);

 private:
  void finish_turn();
  void arm_timer();
  void run_posted();

  uv_loop_t loop_{};
  uv_timer_t timer_{};
  uv_async_t wakeup_{};
  base::Instant armed_ = base::Instant::max();
  int depth_ = 0;
  bool stopping_ = false;
  base::IntrusiveList<Flushable> dirty_;
  base::IntrusiveList<Lingering> lingering_;
  std::unique_ptr<char[]> read_buffer_;
  std::unique_ptr<char[]> plain_buffer_;
  size_t read_filled_ = 0;  // since they were wiped
  size_t plain_filled_ = 0;
  std::vector<std::string> spare_buffers_;

  std::mutex mutex_;
  std::vector<Work> posted_;  // guarded by mutex_
  bool ended_ = false;        // guarded by mutex_
};

}  // namespace imapmux::net
