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
#include "net/socket_options.h"
#include "net/traffic.h"

namespace imapmux::net {
namespace {

constexpr base::Millis kLingerLook{2'000};
constexpr size_t kRun = 16 * 1024;      // so much at once is the middle of something long
constexpr size_t kPipeHead = 4 * 1024;  // of what waits in a pipe libuv gets so much

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

// Without a buffer libuv does not read, but says that something has come (UV_ENOBUFS).
void TcpStream::Socket::start_reading() {
  if (reading) return;
  reading = true;
  const int status = uv_read_start(
      &stream, [](uv_handle_t*, size_t, uv_buf_t* buffer) { *buffer = {}; },
      [](uv_stream_t* of, ssize_t, const uv_buf_t*) noexcept {
        auto* self = static_cast<Socket*>(of->data);
        EventLoop::Turn turn(self->loop);
        if (self->owner) {
          self->owner->read();
        } else {
          self->read_to_the_end();
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

// What a lingering socket still gets is for nobody.
void TcpStream::Socket::read_to_the_end() {
  uv_os_fd_t fd = -1;
  uv_fileno(&handle, &fd);
  const ssize_t size = recv(fd, loop.read_buffer(), EventLoop::kReadBuffer, 0);
  const int error = errno;
  if (size > 0) loop.filled_read_buffer(static_cast<size_t>(size));
  if (size > 0 || (size < 0 && (error == EAGAIN || error == EINTR))) return;
  stop_reading();
  ended(size == 0 ? UV_EOF : -error);
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
  uv_fileno(&socket_->handle, &fd_);
  poll();
}

TcpStream::~TcpStream() {
  handler_ = nullptr;
  end_splicing();
  if (pipe_ && !aborted_) out_.insert(0, pipe_->take(pipe_->size()));
  drop_pipe();
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
  const bool room = !in_run_ || !target_ || target_->lost() || target_->unsent() == 0;
  return reading_ && handler_ && held_.empty() && !eof_ && !lost() && room;
}

// Stopping waits for the end of the turn: a handler often gives way to another, and stopping and starting
// again costs two system calls.
void TcpStream::poll() {
  const bool first_held = reading_ && handler_ && !held_.empty() && !lost();
  const bool wanted = wants_more();
  if (wanted) socket_->start_reading();
  if (first_held || (!wanted && socket_->reading)) loop_.make_ready(*this);
}

void TcpStream::read() {
  if (!wants_more()) {  // stopped in this turn
    socket_->stop_reading();
    return;
  }
  if (in_run_ && splice()) return;
  char* buffer = loop_.read_buffer();
  const size_t most = target_ ? kRun : EventLoop::kReadBuffer;
  const ssize_t size = recv(fd_, buffer, most, 0);
  in_run_ = target_ && size == kRun;
  if (size > 0) {
    loop_.filled_read_buffer(static_cast<size_t>(size));
    Traffic::mine(side_).received.add(static_cast<size_t>(size));
    handler_->on_data({buffer, static_cast<size_t>(size)});
#ifndef NDEBUG
    std::memset(buffer, 0xee, static_cast<size_t>(size));  // a chunk is gone when its callback ends
#endif
    if (in_run_) poll();
    return;
  }
  if (size == 0) {
    socket_->stop_reading();
    eof_ = true;
    handler_->on_eof();
    return;
  }
  if (errno == EAGAIN || errno == EINTR) return;
  const int error = errno;
  socket_->stop_reading();
  fail(uv_strerror(-error));
}

// How much the kernel has taken; as libuv's errors if it is none. Only while nothing is in flight.
ssize_t TcpStream::send_now(std::string_view octets) {
  const ssize_t sent = send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL);
  if (sent >= 0) {
    Traffic::mine(side_).sent.add(static_cast<size_t>(sent));
    return sent;
  }
  return errno == EINTR ? UV_EAGAIN : -errno;
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
  size_t size = out.size();
  for (const auto piece : pieces) size += piece.size();
  size_t at = out.size();
  out.resize_and_overwrite(size, [&](char* octets, size_t) {
    for (const auto piece : pieces) at += piece.copy(octets + at, piece.size());
    return at;
  });
  wrote();
}

void TcpStream::write_through(std::string_view octets) {
  if (unsent() == 0 && !lost() && !aborted_) {
    const ssize_t sent = send_now(octets);
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

void TcpStream::splice_to(Stream& target) {
  auto* other = dynamic_cast<TcpStream*>(&target);
  if (!other) return;
  assert(!target_ && !other->source_ && "a relay is between two");
  target_ = other;
  other->source_ = this;
}

void TcpStream::end_splicing() {
  if (target_) target_->source_ = nullptr;
  target_ = nullptr;
  if (!source_) return;
  auto& source = *std::exchange(source_, nullptr);
  source.target_ = nullptr;
  source.poll();
}

// Moves what has come to the target, but for the last octets. False: it is to be read.
bool TcpStream::splice() {
  int available = 0;
  if (!target_ || ioctl(fd_, SIOCINQ, &available) != 0 || available < static_cast<int>(kRun)) return false;
  const size_t moved = target_->take_spliced(*this, static_cast<size_t>(available) - kSeen);
  if (moved == 0) return false;
  Traffic::mine(side_).received.add(moved);
  handler_->on_spliced(moved);
  poll();
  return true;
}

// How much; nothing if that is not possible, for now or at all.
size_t TcpStream::take_spliced(TcpStream& from, size_t most) {
  if (unsent() > 0 || lost() || aborted_ || finishing_) return 0;
  pipe_ = loop_.pipes().take();
  if (!pipe_) return 0;
  const ssize_t moved = pipe_->fill(from.fd_, most);
  if (moved <= 0) {
    drop_pipe();
    if (moved != -EAGAIN && moved != -EINTR) end_splicing();  // if it is lost, reading will tell
    return 0;
  }
  flush();
  if (unsent() > kLowWatermark) above_ = true;
  return static_cast<size_t>(moved);
}

void TcpStream::drop_pipe() {
  if (!pipe_) return;
  loop_.pipes().give(std::move(pipe_));
}

void TcpStream::flush() {
  if (in_flight_ != 0 || lost()) return;
  if (pipe_) flush_pipe();
  if (in_flight_ == 0 && !out_.empty()) flush_output();
  shut_down_if_due();
  check_drained();
  wake_source();
}

void TcpStream::wake_source() {
  if (source_) source_->poll();
}

void TcpStream::flush_pipe() {
  while (pipe_->size() > 0 && in_flight_ == 0) {
    const ssize_t sent = pipe_->drain(fd_);
    if (sent > 0) Traffic::mine(side_).sent.add(static_cast<size_t>(sent));
    if (sent > 0 || sent == -EINTR) continue;
    if (sent == 0 || sent == -EAGAIN) {
      send_later(pipe_->take(kPipeHead));  // by which libuv will know when there is room
      if (lost()) return;
      continue;
    }
    // A kernel that does not splice into such a socket; or the socket's end, which send() will find.
    out_.insert(0, pipe_->take(pipe_->size()));
    end_splicing();
  }
  if (pipe_->size() == 0) drop_pipe();
}

void TcpStream::flush_output() {
  const ssize_t sent = send_now(out_);
  if (sent < 0 && sent != UV_EAGAIN) {
    fail(uv_strerror(static_cast<int>(sent)));
    return;
  }
  std::string output = std::exchange(out_, std::string());
  if (sent == static_cast<ssize_t>(output.size())) {
    loop_.give_buffer(std::move(output));
    return;
  }
  if (sent > 0) output.erase(0, static_cast<size_t>(sent));
  send_later(std::move(output));
}

// As soon as the kernel takes it.
void TcpStream::send_later(std::string octets) {
  auto* write = new WriteRequest{{}, std::move(octets)};
  write->request.data = write;
  in_flight_ = write->octets.size();
  const uv_buf_t buffer = uv_buf_init(write->octets.data(), static_cast<unsigned>(write->octets.size()));
  const int status =
      uv_write(&write->request, &socket_->stream, &buffer, 1, [](uv_write_t* request, int result) noexcept {
        auto* socket = static_cast<Socket*>(request->handle->data);
        delete static_cast<WriteRequest*>(request->data);
        EventLoop::Turn turn(socket->loop);
        if (socket->owner) socket->owner->write_done(result);
      });
  if (status == 0) return;
  in_flight_ = 0;
  delete write;
  fail(uv_strerror(status));
}

void TcpStream::check_drained() {
  if (!above_ || unsent() > kLowWatermark || lost()) return;
  above_ = false;
  if (handler_) handler_->on_drained();
}

void TcpStream::write_done(int status) {
  const size_t written = std::exchange(in_flight_, 0);
  if (status != 0) {
    fail(uv_strerror(status));
    return;
  }
  Traffic::mine(side_).sent.add(written);
  flush();
}

void TcpStream::fail(const std::string& reason) {
  if (lost()) return;
  lost_reason_ = reason;
  out_.clear();
  drop_pipe();
  wake_source();
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

PeerFacts TcpStream::ends() const {
  auto both = peer_;
  add_local_address(both, fd_);
  return both;
}

int TcpStream::release() {
  set_handler(nullptr);
  socket_->stop_reading();
  flush();
  assert(unsent() == 0 && "a hand-over with octets unsent");
  assert(held_.empty() && "a hand-over with octets that nobody has taken");
  const int copy = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw ConnectionLost(side_, "no descriptor left for a hand-over");
  abort();
  return copy;
}

}  // namespace imapmux::net
