#include "net/tcp_stream.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cassert>
#include <cstring>

#include "net/socket.h"

namespace imapmux::net {
namespace {

constexpr base::Millis kLingerLook{2'000};

}  // namespace

std::string PeerFacts::to_string() const {
  if (!address) return "unix";
  const auto text = address->to_string();
  return (address->is_v4() ? text : "[" + text + "]") + ":" + std::to_string(port);
}

TcpStream::Socket* TcpStream::Socket::make(EventLoop& loop, SocketKind kind) {
  auto* socket = new Socket(loop);
  if (kind == SocketKind::kTcp) {
    uv_tcp_init(loop.uv(), &socket->tcp);
  } else {
    uv_pipe_init(loop.uv(), &socket->pipe, 0);
  }
  socket->handle.data = socket;
  return socket;
}

void TcpStream::Socket::close() {
  owner = nullptr;
  unlink();
  linger_limit.reset();
  if (uv_is_closing(&handle)) return;
  uv_close(&handle, [](uv_handle_t* closed) { delete static_cast<Socket*>(closed->data); });
}

void TcpStream::Socket::start_reading() {
  if (reading) return;
  reading = true;
  const int status = uv_read_start(
      &stream,
      [](uv_handle_t* of, size_t, uv_buf_t* buffer) {
        *buffer = uv_buf_init(static_cast<Socket*>(of->data)->loop.read_buffer(), EventLoop::kReadBuffer);
      },
      [](uv_stream_t* of, ssize_t size, const uv_buf_t* buffer) noexcept {
        if (size == 0) return;
        auto* self = static_cast<Socket*>(of->data);
        EventLoop::Turn turn(self->loop);
        if (size < 0) {
          self->stop_reading();
        } else {
          self->loop.filled_read_buffer(static_cast<size_t>(size));
        }
        if (self->owner) {
          self->owner->read_done(size, buffer->base);
        } else if (size < 0) {
          self->ended(size);
        }
      });
  if (status == 0) return;
  reading = false;
  if (owner) {
    owner->fail(uv_strerror(status));
  } else {
    close();
  }
}

void TcpStream::Socket::stop_reading() {
  if (!reading) return;
  reading = false;
  uv_read_stop(&stream);
}

void TcpStream::Socket::linger(std::string rest) {
  owner = nullptr;
  loop.add_lingering(*this);
  linger_limit = std::make_unique<async::Timer>(loop, [this] { look_whether_taken(); });
  linger_limit->start(kLingerLook);
  if (!rest.empty()) {
    auto* write = new WriteRequest{{}, std::move(rest)};
    write->request.data = write;
    const uv_buf_t buffer = uv_buf_init(write->octets.data(), static_cast<unsigned>(write->octets.size()));
    const int status = uv_write(&write->request, &stream, &buffer, 1, [](uv_write_t* request, int) noexcept {
      delete static_cast<WriteRequest*>(request->data);
    });
    if (status != 0) {
      delete write;
      close();
      return;
    }
  }
  shut_down();
  start_reading();
}

// Called by a timer, which it must not destroy: so it only makes libuv close the handle.
void TcpStream::Socket::look_whether_taken() {
  if (uv_is_closing(&handle)) return;
  const size_t left = untaken();
  if (left < left_) {
    left_ = left;
    linger_limit->start(kLingerLook);
    return;
  }
  unlink();
  uv_close(&handle, [](uv_handle_t* closed) { delete static_cast<Socket*>(closed->data); });
}

void TcpStream::Socket::ended(ssize_t status) {
  if (status != UV_EOF) {
    close();
    return;
  }
  peer_ended_ = true;  // but it may still read
  close_if_done();
}

void TcpStream::Socket::shut_down() {
  if (shutting_down_) return;
  shutting_down_ = true;
  auto* request = new uv_shutdown_t;
  const int status = uv_shutdown(request, &stream, [](uv_shutdown_t* done, int) noexcept {
    auto* self = static_cast<Socket*>(done->handle->data);
    delete done;
    EventLoop::Turn turn(self->loop);
    self->all_sent_ = true;
    self->close_if_done();
  });
  if (status == 0) return;
  delete request;
  all_sent_ = true;
}

size_t TcpStream::Socket::untaken() {
  uv_os_fd_t fd = -1;
  int queued = 0;
  if (uv_fileno(&handle, &fd) != 0 || ioctl(fd, SIOCOUTQ, &queued) != 0) queued = 0;
  return uv_stream_get_write_queue_size(&stream) + static_cast<size_t>(queued);
}

void TcpStream::Socket::close_if_done() {
  if (linger_limit && all_sent_ && peer_ended_) close();
}

std::unique_ptr<TcpStream> TcpStream::adopt(EventLoop& loop, int fd, SocketKind kind, Side side,
                                            PeerFacts peer) {
  auto* socket = Socket::make(loop, kind);
  const int status =
      kind == SocketKind::kTcp ? uv_tcp_open(&socket->tcp, fd) : uv_pipe_open(&socket->pipe, fd);
  if (status != 0) {
    ::close(fd);
    socket->close();
    throw ConnectionLost(side, uv_strerror(status));
  }
  return std::make_unique<TcpStream>(loop, socket, kind, side, std::move(peer));
}

TcpStream::TcpStream(EventLoop& loop, Socket* socket, SocketKind kind, Side side, PeerFacts peer)
    : loop_(loop), socket_(socket), kind_(kind), side_(side), peer_(std::move(peer)) {
  socket_->owner = this;
  poll();
}

TcpStream::~TcpStream() {
  handler_ = nullptr;
  if (!out_.empty() && !aborted_ && !lost() && in_flight_ == 0) flush();
  if (aborted_ || lost() || (eof_ && unsent() == 0)) {
    socket_->close();
  } else {
    socket_->linger(std::move(out_));
  }
}

void TcpStream::set_handler(StreamHandler* handler) {
  handler_ = handler;
  poll();
  if (lost()) loop_.make_ready(*this);
}

void TcpStream::start_reading() {
  reading_ = true;
  poll();
}

void TcpStream::stop_reading() {
  reading_ = false;
  poll();
}

bool TcpStream::wants_more() const {
  return reading_ && handler_ && held_.empty() && !eof_ && !lost();
}

// Stopping waits for the end of the turn: a handler often gives way to another, and stopping and starting
// again costs two system calls.
void TcpStream::poll() {
  const bool first_held = reading_ && handler_ && !held_.empty() && !lost();
  const bool wanted = wants_more();
  if (wanted) socket_->start_reading();
  if (first_held || (!wanted && socket_->reading)) loop_.make_ready(*this);
}

void TcpStream::read_done(ssize_t size, const char* data) {
  if (size > 0) {
    if (!wants_more()) {
      held_.append(data, static_cast<size_t>(size));
      return;
    }
    handler_->on_data({data, static_cast<size_t>(size)});
#ifndef NDEBUG
    std::memset(loop_.read_buffer(), 0xee,
                static_cast<size_t>(size));  // a chunk is gone when its callback ends
#endif
    return;
  }
  if (size == UV_EOF) {
    if (!wants_more()) return;  // it will be read again
    eof_ = true;
    handler_->on_eof();
    return;
  }
  fail(uv_strerror(static_cast<int>(size)));
}

std::string& TcpStream::output() {
  if (out_.empty() && out_.capacity() < 64) out_ = loop_.take_buffer();
  return out_;
}

void TcpStream::wrote() {
  if (lost() || aborted_) {
    out_.clear();
    return;
  }
  if (unsent() > kLowWatermark) above_ = true;
  if (!out_.empty() && in_flight_ == 0) loop_.add_flushable(*this);
}

void TcpStream::write_all(std::initializer_list<std::string_view> pieces) {
  if (lost() || aborted_) return;
  auto& out = output();
  for (const auto piece : pieces) out.append(piece);
  wrote();
}

void TcpStream::write_through(std::string_view octets) {
  if (unsent() == 0 && !lost() && !aborted_) {
    uv_buf_t buffer = uv_buf_init(const_cast<char*>(octets.data()), static_cast<unsigned>(octets.size()));
    const int sent = uv_try_write(&socket_->stream, &buffer, 1);
    if (sent > 0) octets.remove_prefix(static_cast<size_t>(sent));
    if (octets.empty()) return;
  }
  write(octets);
}

void TcpStream::finish() {
  finishing_ = true;
  shut_down_if_due();
}

void TcpStream::shut_down_if_due() {
  if (finishing_ && unsent() == 0 && !lost() && !aborted_) socket_->shut_down();
}

void TcpStream::flush() {
  if (out_.empty() || in_flight_ != 0 || lost()) return;
  uv_buf_t buffer = uv_buf_init(out_.data(), static_cast<unsigned>(out_.size()));
  const int sent = uv_try_write(&socket_->stream, &buffer, 1);
  if (sent == static_cast<int>(out_.size())) {
    loop_.give_buffer(std::exchange(out_, std::string()));
    shut_down_if_due();
    check_drained();
    return;
  }
  if (sent < 0 && sent != UV_EAGAIN) {
    fail(uv_strerror(sent));
    return;
  }
  std::string rest = std::exchange(out_, std::string());
  if (sent > 0) rest.erase(0, static_cast<size_t>(sent));
  auto* write = new WriteRequest{{}, std::move(rest)};
  write->request.data = write;
  in_flight_ = write->octets.size();
  buffer = uv_buf_init(write->octets.data(), static_cast<unsigned>(write->octets.size()));
  const int status =
      uv_write(&write->request, &socket_->stream, &buffer, 1, [](uv_write_t* request, int result) noexcept {
        auto* socket = static_cast<Socket*>(request->handle->data);
        delete static_cast<WriteRequest*>(request->data);
        EventLoop::Turn turn(socket->loop);
        if (socket->owner) socket->owner->write_done(result);
      });
  if (status != 0) {
    in_flight_ = 0;
    delete write;
    fail(uv_strerror(status));
    return;
  }
  check_drained();
}

void TcpStream::check_drained() {
  if (!above_ || unsent() > kLowWatermark) return;
  above_ = false;
  if (handler_) handler_->on_drained();
}

void TcpStream::write_done(int status) {
  in_flight_ = 0;
  if (status != 0) {
    fail(uv_strerror(status));
    return;
  }
  if (!out_.empty()) {
    flush();
    return;
  }
  shut_down_if_due();
  check_drained();
}

void TcpStream::fail(const std::string& reason) {
  if (lost()) return;
  lost_reason_ = reason;
  out_.clear();
  poll();
  loop_.make_ready(*this);
}

void TcpStream::run() {
  if (!wants_more()) socket_->stop_reading();
  if (!held_.empty() && reading_ && handler_ && !lost()) {
    const std::string held = std::exchange(held_, {});
    handler_->on_data(held);
    poll();
    return;
  }
  if (!handler_ || !lost() || lost_told_) return;
  lost_told_ = true;
  handler_->on_lost(lost_reason_);
}

int TcpStream::release() {
  set_handler(nullptr);
  socket_->stop_reading();
  flush();
  assert(unsent() == 0 && "a hand-over with octets unsent");
  assert(held_.empty() && "a hand-over with octets that nobody has taken");
  uv_os_fd_t fd = -1;
  uv_fileno(&socket_->handle, &fd);
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw ConnectionLost(side_, "no descriptor left for a hand-over");
  abort();
  return copy;
}

}  // namespace imapmux::net
