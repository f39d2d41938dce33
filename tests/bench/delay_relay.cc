// Makes a server on loopback look far away: what either side sends arrives so much later, however much it is.
//
//   delay_relay PORT BACKEND_PORT MILLISECONDS     of delay in each direction; ends on SIGTERM
//
// The backend hears of a connection after three times the delay, as by TCP's handshake (SYN, SYN-ACK, ACK),
// which loopback does not delay; its greeting takes one more.
#include <sys/timerfd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "poll.h"
#include "socket.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

// One end of a relayed connection.
struct End {
  Socket socket;
  std::string unsent;
  bool finish = false;  // shut down once all is sent
  bool ended = false;   // the peer has sent all it will
  std::weak_ptr<End> other;
};

class Relay {
 public:
  Relay(uint16_t port, uint16_t backend, std::chrono::milliseconds delay)
      : backend_(backend),
        delay_(delay),
        listener_(listen_on(port)),
        timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    poll_.add(listener_.fd(), EPOLLIN);
    poll_.add(timer_.fd(), EPOLLIN);
  }

  void run() {
    while (true) {
      poll_.wait(-1, [this](int fd, uint32_t events) {
        if (fd == listener_.fd()) {
          accept_all();
        } else if (fd != timer_.fd()) {
          serve(fd, events);
        }
      });
      run_due();
    }
  }

 private:
  struct Due {
    Clock::time_point when;
    std::function<void()> what;
  };

  void later(Clock::duration delay, std::function<void()> what) {
    const auto when = Clock::now() + delay;
    auto place = due_.end();
    while (place != due_.begin() && std::prev(place)->when > when) --place;
    due_.insert(place, {when, std::move(what)});
    arm();
  }

  void arm() {
    itimerspec at{};
    if (!due_.empty()) {
      const auto left =
          std::max<Clock::duration>(due_.front().when - Clock::now(), std::chrono::nanoseconds(1));
      at.it_value.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
      at.it_value.tv_nsec = (left % std::chrono::seconds(1)).count();
    }
    timerfd_settime(timer_.fd(), 0, &at, nullptr);
  }

  void run_due() {
    while (!due_.empty() && due_.front().when <= Clock::now()) {
      const auto what = std::move(due_.front().what);
      due_.pop_front();
      what();
    }
    arm();
  }

  void add(const std::shared_ptr<End>& end) {
    no_delay(end->socket.fd());
    ends_[end->socket.fd()] = end;
    poll_.add(end->socket.fd(), EPOLLIN);
  }

  void accept_all() {
    while (true) {
      Socket socket(accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.fd() < 0) return;
      auto near = std::make_shared<End>();
      near->socket = std::move(socket);
      later(3 * delay_, [this, near] { connect_backend(near); });
    }
  }

  void connect_backend(const std::shared_ptr<End>& near) {
    auto far = std::make_shared<End>();
    far->socket = Socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(backend_);
    if (connect(far->socket.fd(), generic(address), sizeof address) != 0) return;  // closes `near` as well
    near->other = far;
    far->other = near;
    add(near);
    add(far);
  }

  void serve(int fd, uint32_t events) {
    const auto found = ends_.find(fd);
    if (found == ends_.end()) return;
    const auto end = found->second;
    if (events & EPOLLOUT) send_unsent(*end);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !end->ended) receive(*end);
  }

  void receive(End& end) {
    static std::array<char, 65536> buffer;
    const ssize_t count = recv(end.socket.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    const auto other = end.other.lock();
    if (count > 0) {
      later(delay_, [this, other, octets = std::string(buffer.data(), static_cast<size_t>(count))] {
        if (!other) return;
        other->unsent += octets;
        send_unsent(*other);
      });
      return;
    }
    end.ended = true;
    poll_.change(end.socket.fd(), end.unsent.empty() ? 0 : EPOLLOUT);
    later(delay_, [this, other] {
      if (!other) return;
      other->finish = true;
      send_unsent(*other);
    });
  }

  void send_unsent(End& end) {
    if (!end.unsent.empty()) {
      const ssize_t count =
          send(end.socket.fd(), end.unsent.data(), end.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count > 0) end.unsent.erase(0, static_cast<size_t>(count));
      if (count < 0 && errno != EAGAIN) end.unsent.clear();
    }
    uint32_t wanted = end.ended ? 0U : EPOLLIN;
    if (!end.unsent.empty()) wanted |= EPOLLOUT;
    poll_.change(end.socket.fd(), wanted);
    if (!end.unsent.empty() || !end.finish) return;
    shutdown(end.socket.fd(), SHUT_WR);
    const auto other = end.other.lock();
    if (!end.ended && other) return;
    if (other) ends_.erase(other->socket.fd());
    ends_.erase(end.socket.fd());
  }

  const uint16_t backend_;
  const std::chrono::milliseconds delay_;
  Socket listener_;
  Poll poll_;
  Socket timer_;
  std::unordered_map<int, std::shared_ptr<End>> ends_;
  std::deque<Due> due_;  // the earliest first
};

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: delay_relay PORT BACKEND_PORT MILLISECONDS\n");
    return 2;
  }
  bench::Relay relay(static_cast<uint16_t>(std::atoi(argv[1])), static_cast<uint16_t>(std::atoi(argv[2])),
                     std::chrono::milliseconds(std::atoi(argv[3])));
  relay.run();
}
