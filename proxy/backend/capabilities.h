// What a server says it can do. Names in upper case, whatever the server writes. A value; any thread.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace imapmux::backend {

class Capabilities {
 public:
  Capabilities() = default;
  explicit Capabilities(std::string_view list);  // "IMAP4rev1 UIDPLUS …"
  bool has(std::string_view name) const { return names_.contains(name); }
  bool literal_plus() const { return literal_plus_; }  // asked for with every command
  // One of the names in "A|B|C"; an empty list is always there.
  bool has_one_of(std::string_view alternatives) const;
  bool empty() const { return names_.empty(); }
  const auto& names() const { return names_; }

 private:
  std::set<std::string, std::less<>> names_;
  bool literal_plus_ = false;
};

}  // namespace imapmux::backend
