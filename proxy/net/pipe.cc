#include "net/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>

namespace imapmux::net {
namespace {

// Two descriptors each; what is more goes on by copying.
constexpr size_t kMost = 1024 * 1024;  // octets in one
constexpr size_t kMostInUse = 16;
constexpr size_t kMostSpare = 4;

ssize_t move(int from, int to, size_t most) {
  const ssize_t moved = splice(from, nullptr, to, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  return moved >= 0 ? moved : -errno;
}

}  // namespace

std::unique_ptr<Pipe> Pipe::open() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  // The kernel counts pieces rather than octets, and packets are small ones. It may refuse (pipe(7)).
  fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(kMost));
  return std::unique_ptr<Pipe>(new Pipe(ends[1], ends[0]));
}

Pipe::~Pipe() {
  close(in_);
  close(out_);
}

ssize_t Pipe::fill(int socket, size_t most) {
  const ssize_t moved = move(socket, in_, std::min(most, kMost - size_));
  if (moved > 0) size_ += static_cast<size_t>(moved);
  return moved;
}

ssize_t Pipe::drain(int socket) {
  const ssize_t moved = move(out_, socket, size_);
  if (moved > 0) size_ -= static_cast<size_t>(moved);
  return moved;
}

std::string Pipe::take(size_t most) {
  std::string octets(std::min(most, size_), '\0');
  size_t got = 0;
  while (got < octets.size()) {
    const ssize_t size = read(out_, octets.data() + got, octets.size() - got);
    if (size > 0) got += static_cast<size_t>(size);
    assert((size > 0 || errno == EINTR) && "a pipe that holds less than was put into it");
  }
  size_ -= got;
  return octets;
}

std::unique_ptr<Pipe> PipePool::take() {
  if (in_use_ >= kMostInUse) return nullptr;
  std::unique_ptr<Pipe> pipe;
  if (spare_.empty()) {
    pipe = Pipe::open();
  } else {
    pipe = std::move(spare_.back());
    spare_.pop_back();
  }
  if (pipe) ++in_use_;
  return pipe;
}

void PipePool::give(std::unique_ptr<Pipe> pipe) {
  --in_use_;
  if (pipe->size() == 0 && spare_.size() < kMostSpare) spare_.push_back(std::move(pipe));
}

}  // namespace imapmux::net
