// The files a configuration refers to.
#pragma once

#include <cstddef>
#include <string>

namespace imapmux::config {

// No configuration, users file or secret is larger than this.
inline constexpr size_t kMaxFileSize = size_t{4} << 20;

struct FileContents {
  std::string text;
  std::string error;  // empty if it could be read: "No such file or directory", "is a directory", "is larger
                      // than 4MiB"
};

FileContents read_file(const std::string& path);
// Empty if the file can be opened for reading and is not a directory; else why not.
std::string why_unreadable(const std::string& path);
// Empty if files can be made in the directory; else why not.
std::string why_no_files_in(const std::string& directory);
// `path` made absolute, from `directory` if it is relative.
std::string resolve_path(const std::string& path, const std::string& directory);

}  // namespace imapmux::config
