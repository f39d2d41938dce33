#include "backend/capabilities.h"

#include "base/bytes.h"

namespace imapmux::backend {

Capabilities::Capabilities(std::string_view list) {
  const auto made = std::make_shared<List>();
  made->text = base::upper(list);
  std::string_view rest = made->text;
  auto& names = made->names;
  names.reserve(static_cast<size_t>(std::count(rest.begin(), rest.end(), ' ')) + 1);
  while (!rest.empty()) {
    const auto end = std::min(rest.find(' '), rest.size());
    if (end > 0) names.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  list_ = made;
  literal_plus_ = has("LITERAL+");
}

const std::vector<std::string_view>& Capabilities::names() const {
  static const std::vector<std::string_view> kNone;
  return list_ ? list_->names : kNone;
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
