#include "app/tls_check.h"

#include <algorithm>
#include <tuple>

#include "net/tls_context.h"

namespace imapmux::app {
namespace {

using config::TlsItem;

// Old versions of TLS lower the level of security, so that weak certificates pass: the strictest listener
// decides.
net::TlsFloor strictest(const config::ConfigPtr& config) {
  auto floor = net::TlsFloor::kTls10;
  bool any = false;
  if (config) {
    for (const auto& listener : config->listeners) {
      if (listener.tls == config::ListenerTls::kNone) continue;
      any = true;
      floor = std::max(floor, static_cast<net::TlsFloor>(listener.min_protocol));
    }
  }
  return any ? floor : net::TlsFloor::kTls12;
}

config::Problem at(const config::Place& place, const std::string& path, const std::string& why) {
  return {place.file, place.line, place.column, path + ": " + why};
}

}  // namespace

std::vector<config::Problem> tls_problems(const config::LoadResult& loaded) {
  std::vector<config::Problem> problems;
  const auto add = [&](const config::Place& place, const std::string& path, const std::string& why) {
    if (!why.empty()) problems.push_back(at(place, path, why));
  };
  const auto floor = strictest(loaded.config);
  for (const auto& item : loaded.tls_items) {
    switch (item.kind) {
      case TlsItem::Kind::kIdentity:
        add(item.place, item.path, net::why_unusable_certificate(item.value, floor));
        add(item.key_place, item.key_path, net::why_unusable_key(item.private_key, item.value, floor));
        break;
      case TlsItem::Kind::kAuthorities:
        add(item.place, item.path, net::why_unusable_authorities(item.value));
        break;
      case TlsItem::Kind::kCiphers:
        add(item.place, item.path, net::why_unusable_ciphers(item.value));
        break;
    }
  }
  return problems;
}

config::LoadResult load_and_check(const std::string& path) {
  auto loaded = config::load_file(path);
  const auto place = [](const config::Problem& problem) { return std::tuple(problem.line, problem.column); };
  auto found = tls_problems(loaded);
  if (found.empty()) return loaded;
  loaded.config = nullptr;
  for (auto& problem : found) {
    // Problems of other files come behind those of this one.
    const auto behind = std::find_if(loaded.problems.begin(), loaded.problems.end(), [&](const auto& other) {
      return other.file != path || place(other) > place(problem);
    });
    loaded.problems.insert(behind, std::move(problem));
  }
  return loaded;
}

}  // namespace imapmux::app
