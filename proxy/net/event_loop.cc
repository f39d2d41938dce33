#include "net/event_loop.h"

#include <signal.h>
#include <string.h>

#include <cassert>
#include <stdexcept>

namespace imapmux::net {
namespace {

constexpr size_t kSpareBuffers = 64;
constexpr size_t kMostSecret = 1024;  // what may hold a login is wiped; more would cost
constexpr size_t kSpareCapacity = 64 * 1024;

}  // namespace

EventLoop::EventLoop()
    : read_buffer_(std::make_unique<char[]>(kReadBuffer)),
      plain_buffer_(std::make_unique<char[]>(kPlainBuffer)) {
  // libuv writes with writev, which has no MSG_NOSIGNAL.
  signal(SIGPIPE, SIG_IGN);
  if (uv_loop_init(&loop_) != 0) throw std::runtime_error("uv_loop_init failed");
  uv_timer_init(&loop_, &timer_);
  timer_.data = this;
  uv_async_init(&loop_, &wakeup_, [](uv_async_t* handle) noexcept {
    auto& self = *static_cast<EventLoop*>(handle->data);
    Turn turn(self);
    self.run_posted();
  });
  wakeup_.data = this;
  set_now(base::Instant(base::Millis(uv_now(&loop_))));
}

bool EventLoop::lingers_with_unsent() const {
  bool any = false;
  lingering_.for_each([&](const Lingering& socket) { any = any || socket.has_unsent(); });
  return any;
}

EventLoop::~EventLoop() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  posted_.clear();
  {
    Turn turn(*this);
  }
  lingering_.for_each([](Lingering& socket) { socket.close_now(); });
  uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&wakeup_), nullptr);
  uv_run(&loop_, UV_RUN_DEFAULT);
  [[maybe_unused]] const int left = uv_loop_close(&loop_);
  assert(left == 0 && "a handle outlives its loop");
}

void EventLoop::run() {
  stopping_ = false;
  {
    Turn turn(*this);
  }
  while (!stopping_) uv_run(&loop_, UV_RUN_ONCE);
}

void EventLoop::stop() {
  post([this] { stopping_ = true; });
}

bool EventLoop::post(Work work) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  posted_.push_back(std::move(work));
  uv_async_send(&wakeup_);  // under the lock, which keeps the loop from ending meanwhile
  return true;
}

void EventLoop::run_posted() {
  std::vector<Work> batch;
  {
    const std::lock_guard lock(mutex_);
    batch.swap(posted_);
  }
  for (auto& work : batch) work();
}

EventLoop::Turn::Turn(EventLoop& loop) : loop_(loop) {
  // libuv reads the clock once per iteration: outside of one, and after a long callback, it is late.
  if (++loop_.depth_ == 1) uv_update_time(&loop_.loop_);
  loop_.set_now(base::Instant(base::Millis(uv_now(&loop_.loop_))));
}

EventLoop::Turn::~Turn() {
  if (loop_.depth_ == 1) loop_.finish_turn();
  --loop_.depth_;
}

void EventLoop::finish_turn() {
  do {
    run_ready();
    while (auto* stream = dirty_.pop_front()) stream->flush();
  } while (has_ready());
  arm_timer();
}

void EventLoop::arm_timer() {
  const auto next = next_timer();
  if (next == armed_) return;
  armed_ = next;
  if (next == base::Instant::max()) {
    uv_timer_stop(&timer_);
    return;
  }
  const auto delay = next > now() ? (next - now()).count() : 0;
  uv_timer_start(
      &timer_,
      [](uv_timer_t* handle) noexcept {
        auto& self = *static_cast<EventLoop*>(handle->data);
        self.armed_ = base::Instant::max();
        Turn turn(self);
        self.run_timers();
      },
      static_cast<uint64_t>(delay), 0);
}

void EventLoop::wipe_buffers() {
  explicit_bzero(read_buffer_.get(), std::exchange(read_filled_, 0));
  explicit_bzero(plain_buffer_.get(), std::exchange(plain_filled_, 0));
}

std::string EventLoop::take_buffer() {
  if (spare_buffers_.empty()) return {};
  std::string buffer = std::move(spare_buffers_.back());
  spare_buffers_.pop_back();
  return buffer;
}

void EventLoop::give_buffer(std::string buffer) {
  if (spare_buffers_.size() >= kSpareBuffers || buffer.capacity() > kSpareCapacity || buffer.capacity() < 64)
    return;
  if (buffer.size() <= kMostSecret) explicit_bzero(buffer.data(), buffer.size());
  buffer.clear();
  spare_buffers_.push_back(std::move(buffer));
}

}  // namespace imapmux::net
