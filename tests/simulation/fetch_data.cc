#include "simulation/fetch_data.h"

#include "base/bytes.h"
#include "wire/token_reader.h"

namespace imapmux::simulation {

std::optional<demo::Flags> parse_flag_list(std::string_view list) {
  wire::TokenReader reader(list);
  demo::Flags flags;
  if (!reader.open()) return std::nullopt;
  if (reader.close()) return flags;
  do {
    const auto flag = reader.atom();
    if (!flag) return std::nullopt;
    if (!base::equals_ignore_case(*flag, "\\Recent")) flags.insert(std::string(*flag));
  } while (reader.space());
  if (!reader.close() || !reader.at_end()) return std::nullopt;
  return flags;
}

std::optional<FetchData> parse_fetch(std::string_view arguments) {
  wire::TokenReader reader(arguments);
  FetchData data;
  if (!reader.open()) return std::nullopt;
  do {
    const auto name = reader.atom();
    if (!name || !reader.space()) return std::nullopt;
    const auto begin = reader.position();
    const auto token = reader.peek();
    if (!token || !reader.skip_value()) return std::nullopt;
    const bool list = token->kind == wire::Token::Kind::kOpen;
    std::string value =
        list ? std::string(arguments.substr(begin, reader.position() - begin)) : wire::decode(*token);
    const std::string item = base::upper(*name);
    if (item == "UID") {
      wire::TokenReader number(value);
      data.uid = number.number();
      if (!data.uid || *data.uid == 0) return std::nullopt;
    } else if (item == "FLAGS") {
      data.flags = parse_flag_list(value);
      if (!data.flags) return std::nullopt;
    }
    if (!data.items.emplace(item, std::move(value)).second) return std::nullopt;
  } while (reader.space());
  if (!reader.close() || !reader.at_end()) return std::nullopt;
  return data;
}

}  // namespace imapmux::simulation
