// A kernel pipe through which octets go from socket to socket without being copied (splice(2)). A stream
// borrows one from its loop's PipePool for as long as octets are in it. On the loop's thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace imapmux::net {

class Pipe {
 public:
  // Null if there are no descriptors left.
  static std::unique_ptr<Pipe> open();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  // In from a socket, out into one: how many octets; negative: -errno.
  ssize_t fill(int socket, size_t most);
  ssize_t drain(int socket);
  // Out again by copying.
  std::string take(size_t most);
  size_t size() const { return size_; }

 private:
  Pipe(int in, int out) : in_(in), out_(out) {}
  int in_;
  int out_;
  size_t size_ = 0;
};

// Keeps few pipes for many streams. Owned by an EventLoop.
class PipePool {
 public:
  // An empty one. Null: as many as may be are in use, or there are no descriptors left.
  std::unique_ptr<Pipe> take();
  // One that is not empty is closed.
  void give(std::unique_ptr<Pipe> pipe);

 private:
  std::vector<std::unique_ptr<Pipe>> spare_;
  size_t in_use_ = 0;
};

}  // namespace imapmux::net
