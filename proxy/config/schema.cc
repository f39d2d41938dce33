#include "config/schema.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "config/key_table.h"
#include "config/scalars.h"

namespace imapmux::config {
namespace {

using Json = nlohmann::ordered_json;

// A key whose name is the operator's choice: "backends.NAME".
constexpr std::string_view kAnyName = "NAME";

Json reference_to(std::string_view definition) {
  return {{"$ref", fmt::format("#/$defs/{}", definition)}};
}

Json any_of(std::vector<Json> alternatives) {
  if (alternatives.size() == 1) return alternatives.front();
  return {{"anyOf", std::move(alternatives)}};
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + separator.size());
  }
  return parts;
}

// "1..64"
std::optional<Json> range(const std::string& word) {
  const auto ends = split(word, "..");
  if (ends.size() != 2) return std::nullopt;
  const auto least = parse_integer(ends[0]);
  const auto most = parse_integer(ends[1]);
  if (!least || !most) return std::nullopt;
  return Json{{"type", "integer"}, {"minimum", *least}, {"maximum", *most}};
}

// One kind of value, as the tables call it: also "file", "address", "secret", which are texts for a schema.
Json kind(std::string_view word) {
  if (word == "duration" || word == "size") return reference_to(word);
  if (word == "octal mode") return reference_to("mode");
  if (word == "map") return {{"type", "object"}};
  if (word == "list" || word == "list of maps") return {{"type", "array"}};
  return reference_to("text");
}

// What a table writes in its column "type".
Json value_schema(std::string_view type) {
  if (type == "true, false") return {{"type", "boolean"}};
  constexpr std::string_view kList = "list of ";
  if (type.starts_with(kList) && type != "list of maps") {
    const auto items = type.substr(kList.size());
    const bool choice = items.find(", ") != std::string_view::npos;
    return {{"type", "array"}, {"items", choice ? value_schema(items) : reference_to("text")}};
  }
  const bool is_choice = type.find(", ") != std::string_view::npos;
  if (!is_choice && !range(std::string(type))) return kind(type);
  std::vector<Json> alternatives;
  Json words = Json::array();
  for (const auto& word : split(type, ", ")) {
    if (word == "duration" || word == "map" || word == "URL") {
      alternatives.push_back(kind(word));
    } else if (auto numbers = range(word)) {
      alternatives.push_back(std::move(*numbers));
    } else {
      words.push_back(word);
    }
  }
  if (!words.empty()) alternatives.push_back({{"enum", std::move(words)}});
  return any_of(std::move(alternatives));
}

bool is_scalar(const Json& schema) {
  return !(schema.contains("type") && (schema["type"] == "object" || schema["type"] == "array"));
}

// Scalars may come from the environment, whatever they are.
Json with_environment(Json schema) {
  if (schema.contains("items")) schema["items"] = with_environment(std::move(schema["items"]));
  if (!is_scalar(schema) || schema == reference_to("text")) return schema;
  std::vector<Json> alternatives;
  if (schema.contains("anyOf"))
    alternatives = schema["anyOf"].get<std::vector<Json>>();
  else
    alternatives.push_back(std::move(schema));
  alternatives.push_back(reference_to("environment"));
  return any_of(std::move(alternatives));
}

Json to_json(const YAML::Node& node) {
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& item : node) list.push_back(to_json(item));
    return list;
  }
  if (node.IsMap()) {
    Json map = Json::object();
    for (const auto& entry : node) map[entry.first.Scalar()] = to_json(entry.second);
    return map;
  }
  const auto& text = node.Scalar();
  if (const auto number = parse_integer(text)) return *number;
  if (const auto boolean = parse_boolean(text)) return *boolean;
  return text;
}

// The schema of the map at `path` ("backends.NAME.login."), in which a key stands.
Json& map_at(Json& root, std::string_view path) {
  Json* at = &root;
  for (auto step : split(path, ".")) {
    if (step.empty()) break;
    const bool list = step.ends_with("[]");
    if (list) step.resize(step.size() - 2);
    at = step == kAnyName ? &(*at)["additionalProperties"] : &(*at)["properties"][step];
    if (list) at = &(*at)["items"];
    if (!at->contains("anyOf")) continue;
    // "map, off": the map is one of the alternatives.
    auto& alternatives = (*at)["anyOf"];
    at = &*std::find_if(alternatives.begin(), alternatives.end(),
                        [](const Json& one) { return !is_scalar(one); });
  }
  if (at->contains("properties")) return *at;
  (*at)["type"] = "object";
  (*at)["properties"] = Json::object();
  (*at)["additionalProperties"] = false;
  return *at;
}

void add(Json& root, const KeyInfo& key) {
  const auto dot = key.path.rfind('.');
  const auto name = key.path.substr(dot == std::string::npos ? 0 : dot + 1);
  Json& map = map_at(root, dot == std::string::npos ? "" : std::string_view(key.path).substr(0, dot));
  Json schema = with_environment(value_schema(key.type));
  schema["description"] =
      std::string(key.about) + (key.reload == Reload::kApplies ? "" : " Takes effect after a restart.");
  const bool prose = key.standard.starts_with('(');
  if (!key.standard.empty() && !prose) schema["default"] = to_json(YAML::Load(std::string(key.standard)));
  if (key.standard == kRequired) map["required"].push_back(name);
  map["properties"][name] = std::move(schema);
}

Json definitions() {
  return {
      {"text", {{"type", {"string", "number", "boolean"}}, {"minLength", 1}}},
      {"environment",
       {{"type", "string"}, {"pattern", R"(\$\{)"}, {"description", "${NAME} or ${NAME:-default}"}}},
      {"duration",
       {{"anyOf", {{{"const", 0}}, {{"type", "string"}, {"pattern", "^(0|[0-9]+(ms|s|m|h))$"}}}}}},
      {"size", {{"type", "string"}, {"pattern", "^[0-9]+(B|KiB|MiB|GiB)$"}}},
      {"mode", {{"type", {"string", "integer"}}, {"pattern", "^0?[0-7]{3}$"}}},
  };
}

}  // namespace

std::string json_schema() {
  Json root = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
               {"title", "imapmux.yaml"},
               {"description", "The configuration of imapmux, an IMAP proxy."},
               {"type", "object"},
               {"properties", Json::object()},
               {"additionalProperties", false}};
  for (const KeyInfo& key : all_keys())
    if (key.supported) add(root, key);
  Json& backends = root["properties"]["backends"];
  backends["propertyNames"] = {{"pattern", "^[A-Za-z0-9._-]{1,64}$"}};
  backends["minProperties"] = 1;
  for (const std::string_view list : {"listeners", "routes"}) root["properties"][list]["minItems"] = 1;
  root["$defs"] = definitions();
  return root.dump(2) + "\n";
}

}  // namespace imapmux::config
