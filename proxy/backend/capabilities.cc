#include "backend/capabilities.h"

#include "base/bytes.h"

namespace imapmux::backend {

Capabilities::Capabilities(std::string_view list) {
  while (!list.empty()) {
    const auto end = list.find(' ');
    const auto name = list.substr(0, end);
    if (!name.empty()) names_.insert(base::upper(name));
    if (end == std::string_view::npos) break;
    list.remove_prefix(end + 1);
  }
  literal_plus_ = has("LITERAL+");
}

bool Capabilities::has_one_of(std::string_view alternatives) const {
  if (alternatives.empty()) return true;
  for (;;) {
    const auto end = alternatives.find('|');
    if (has(alternatives.substr(0, end))) return true;
    if (end == std::string_view::npos) return false;
    alternatives.remove_prefix(end + 1);
  }
}

}  // namespace imapmux::backend
