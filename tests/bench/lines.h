// What a benchmark's client reads, line by line.
#pragma once

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

namespace bench {

// Cuts what arrives into lines, literals passed over.
class Lines {
 public:
  template <typename Visit>
  void feed(std::string_view octets, Visit visit) {
    while (!octets.empty()) {
      if (literal_ > 0) {
        const size_t passed = std::min(literal_, octets.size());
        octets.remove_prefix(passed);
        literal_ -= passed;
        continue;
      }
      const size_t size = std::min(octets.find('\n'), octets.size() - 1) + 1;
      std::string_view line = octets.substr(0, size);
      octets.remove_prefix(size);
      if (!begun_.empty() || !line.ends_with('\n')) {
        begun_.append(line);
        if (!line.ends_with('\n')) return;
        line = begun_;
      }
      line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
      if (line.ends_with('}'))
        std::from_chars(line.data() + line.rfind('{') + 1, line.data() + line.size(), literal_);
      visit(line);
      begun_.clear();
    }
  }

 private:
  std::string begun_;  // a line whose end has not come yet
  size_t literal_ = 0;
};

}  // namespace bench
