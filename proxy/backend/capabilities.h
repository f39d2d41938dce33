// What a server says it can do. Names in upper case, whatever the server writes. A value, whose copies share
// one list; any thread.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace imapmux::backend {

class Capabilities {
 public:
  Capabilities() = default;
  explicit Capabilities(std::string_view list);  // "IMAP4rev1 UIDPLUS …"
  bool has(std::string_view name) const { return std::binary_search(names().begin(), names().end(), name); }
  bool literal_plus() const { return literal_plus_; }  // asked for with every command
  // One of the names in "A|B|C"; an empty list is always there.
  bool has_one_of(std::string_view alternatives) const;
  bool empty() const { return names().empty(); }
  // In their order, each once.
  const std::vector<std::string_view>& names() const;

 private:
  struct List {
    std::string text;
    std::vector<std::string_view> names;  // in `text`
  };
  std::shared_ptr<const List> list_;
  bool literal_plus_ = false;
};

}  // namespace imapmux::backend
