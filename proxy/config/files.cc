#include "config/files.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "base/bytes.h"
#include "config/scalars.h"

namespace imapmux::config {

namespace {

std::string error_text(int error) {
  return std::generic_category().message(error);
}

// An open file; closed with the object.
class File {
 public:
  File(const std::string& path, int flags)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags)) {
    struct stat facts{};
    if (descriptor_ < 0) {
      error_ = error_text(errno);
    } else if (::fstat(descriptor_, &facts) != 0) {
      error_ = error_text(errno);
    } else if (S_ISDIR(facts.st_mode)) {
      error_ = "is a directory";
    } else if (!S_ISREG(facts.st_mode)) {
      error_ = "is no regular file";  // a FIFO would keep the reload waiting for good
    }
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int descriptor() const { return descriptor_; }
  const std::string& error() const { return error_; }

 private:
  int descriptor_;
  std::string error_;
};

}  // namespace

FileContents read_file(const std::string& path) {
  const File file(path, 0);
  if (!file.error().empty()) return {{}, file.error()};
  FileContents out;
  std::array<char, 16384> buffer{};
  while (out.text.size() <= kMaxFileSize) {
    const ssize_t count = ::read(file.descriptor(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) out.error = error_text(errno);
    if (count <= 0) break;
    out.text.append(buffer.data(), static_cast<size_t>(count));
  }
  explicit_bzero(buffer.data(), buffer.size());
  if (out.text.size() > kMaxFileSize) out.error = "is larger than " + format_size(kMaxFileSize);
  if (!out.error.empty()) base::wipe(out.text);
  return out;
}

std::string why_unreadable(const std::string& path) {
  return File(path, O_NONBLOCK).error();  // a pipe has not to wait for its writer
}

std::string why_no_files_in(const std::string& directory) {
  struct stat facts{};
  if (::stat(directory.c_str(), &facts) != 0) return error_text(errno);
  if (!S_ISDIR(facts.st_mode)) return "is no directory";
  return ::access(directory.c_str(), W_OK | X_OK) == 0 ? "" : error_text(errno);
}

std::string resolve_path(const std::string& path, const std::string& directory) {
  return std::filesystem::absolute(std::filesystem::path(directory) / path).lexically_normal().string();
}

}  // namespace imapmux::config
