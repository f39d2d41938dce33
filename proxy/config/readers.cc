#include "config/readers.h"

namespace imapmux::config {

std::optional<base::Secret> secret_from_file(const Value& value) {
  const auto name = value.text("the path of a file");
  if (!name) return std::nullopt;
  FileContents contents = read_file(resolve_path(*name, value.source().directory));
  if (!contents.error.empty()) {
    value.error(fmt::format("cannot read {}: {}", quoted(*name), contents.error));
    return std::nullopt;
  }
  if (contents.text.ends_with('\n')) contents.text.pop_back();
  if (contents.text.empty()) {
    value.error(fmt::format("{} is empty", quoted(*name)));
    return std::nullopt;
  }
  base::Secret secret(std::move(contents.text));
  base::wipe(contents.text);
  return secret;
}

void refuse_both(const Map& map, std::string_view key, std::string_view file_key) {
  const Value* file = map.find(file_key);
  if (map.find(key) == nullptr || file == nullptr) return;
  file->error_at_name(fmt::format("{} is given as well; only one of them may be", key));
}

std::optional<base::Endpoint> read_bind(const Value& value) {
  constexpr std::string_view kExpected =
      "an address with a port such as 127.0.0.1:143 or [::]:143, or unix:/path";
  const auto text = value.text(kExpected);
  if (!text) return std::nullopt;
  auto endpoint = base::parse_endpoint(*text);
  if (endpoint && !endpoint->is_unix() && endpoint->host.empty()) endpoint->host = "::";
  if (endpoint && (endpoint->is_unix() || base::IpAddress::parse(endpoint->host))) return endpoint;
  value.error(fmt::format("must be {}, not {}", kExpected, quoted(*text)));
  return std::nullopt;
}

}  // namespace imapmux::config
