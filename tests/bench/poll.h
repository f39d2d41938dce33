// epoll for the benchmark's programs of one thread.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "socket.h"

namespace bench {

class Poll {
 public:
  Poll() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_.fd() < 0) die("epoll_create1");
  }

  void add(int fd, uint32_t wanted) { control(EPOLL_CTL_ADD, fd, wanted); }
  void change(int fd, uint32_t wanted) { control(EPOLL_CTL_MOD, fd, wanted); }

  // Waits for at most so many milliseconds, or (-1) for ever, and visits what is ready: visit(fd, events).
  template <typename Visit>
  void wait(int milliseconds, Visit visit) {
    const int count = epoll_wait(epoll_.fd(), ready_.data(), static_cast<int>(ready_.size()), milliseconds);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = ready_[static_cast<size_t>(i)];
      visit(event.data.fd, event.events);
    }
  }

 private:
  void control(int operation, int fd, uint32_t wanted) {
    epoll_event event{};
    event.events = wanted;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.fd(), operation, fd, &event) != 0) die("epoll_ctl");
  }

  Socket epoll_;
  std::array<epoll_event, 256> ready_{};
};

}  // namespace bench
