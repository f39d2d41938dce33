// What a thread says in the log while this lives: for those who asked for what is done, and have to hear how
// it went. On that thread's stack; one at a time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace imapmux::base::log {

class Recording {
 public:
  Recording();
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  const std::vector<std::string>& lines() const { return lines_; }  // "warn: text"

 private:
  friend void note(std::string_view level, std::string_view text);
  std::vector<std::string> lines_;
};

// For the log.
bool is_recorded();  // this thread
void note(std::string_view level, std::string_view text);

}  // namespace imapmux::base::log
