// A temporary file without a name: gone from the disk when it is closed, also when the process is killed. For
// Spool, which owns it. Plain blocking calls: what is written stays in the page cache for the moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace imapmux::net {

class UnlinkedFile {
 public:
  enum class How : uint8_t { kNeverNamed, kUnlinked /* as where the file system knows no O_TMPFILE */ };

  UnlinkedFile() = default;  // none
  // Throws std::system_error, like the rest.
  explicit UnlinkedFile(const std::string& directory, How how = How::kNeverNamed);
  ~UnlinkedFile() { close(); }
  UnlinkedFile(UnlinkedFile&& other) noexcept;
  UnlinkedFile& operator=(UnlinkedFile&& other) noexcept;

  bool is_open() const { return descriptor_ >= 0; }
  void close() noexcept;
  // Writes all of it, or throws and may have written some.
  void write(uint64_t at, std::string_view octets);
  // Reads `size` octets; throws EIO if there are fewer.
  void read(uint64_t at, char* out, size_t size) const;
  // Gives the disk `size` octets back, which then read as zeros. False if the file system cannot do that.
  bool punch(uint64_t at, uint64_t size) noexcept;

 private:
  int descriptor_ = -1;
  bool can_punch_ = true;
};

}  // namespace imapmux::net
