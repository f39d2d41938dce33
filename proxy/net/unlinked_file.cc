#include "net/unlinked_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace imapmux::net {

namespace {

[[noreturn]] void fail(int error) {
  throw std::system_error(error, std::generic_category());
}

int open_and_unlink(const std::string& directory) {
  std::string path = directory + "/imapmux-XXXXXX";
  const int descriptor = ::mkostemp(path.data(), O_CLOEXEC);
  if (descriptor < 0) fail(errno);
  ::unlink(path.c_str());
  return descriptor;
}

int open_in(const std::string& directory, UnlinkedFile::How how) {
  if (how == UnlinkedFile::How::kUnlinked) return open_and_unlink(directory);
  // O_EXCL: it never gets a name.
  const int descriptor = ::open(directory.c_str(), O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  // What file systems and kernels say that do not know it (open(2)).
  if (errno != EOPNOTSUPP && errno != EISDIR) fail(errno);
  return open_and_unlink(directory);
}

}  // namespace

UnlinkedFile::UnlinkedFile(const std::string& directory, How how) : descriptor_(open_in(directory, how)) {}

UnlinkedFile::UnlinkedFile(UnlinkedFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), can_punch_(other.can_punch_) {}

UnlinkedFile& UnlinkedFile::operator=(UnlinkedFile&& other) noexcept {
  if (this != &other) {
    close();
    descriptor_ = std::exchange(other.descriptor_, -1);
    can_punch_ = other.can_punch_;
  }
  return *this;
}

void UnlinkedFile::close() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

void UnlinkedFile::write(uint64_t at, std::string_view octets) {
  while (!octets.empty()) {
    const ssize_t count = ::pwrite(descriptor_, octets.data(), octets.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(errno);
    at += static_cast<uint64_t>(count);
    octets.remove_prefix(static_cast<size_t>(count));
  }
}

void UnlinkedFile::read(uint64_t at, char* out, size_t size) const {
  while (size > 0) {
    const ssize_t count = ::pread(descriptor_, out, size, static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail(count < 0 ? errno : EIO);
    at += static_cast<uint64_t>(count);
    out += count;
    size -= static_cast<size_t>(count);
  }
}

bool UnlinkedFile::punch(uint64_t at, uint64_t size) noexcept {
  if (!can_punch_) return false;
  can_punch_ = ::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                           static_cast<off_t>(size)) == 0;
  return can_punch_;
}

}  // namespace imapmux::net
