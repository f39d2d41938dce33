#include "admin/actions.h"

#include <charconv>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

namespace imapmux::admin {
namespace {

using nlohmann::json;

// What is wrong with what was asked for, for a 400.
class BadRequest : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The body's texts; nothing but those named in `known` may be there. No body at all is an empty one.
std::map<std::string, std::string> texts_of(const std::string& body,
                                            std::initializer_list<std::string_view> known) {
  std::map<std::string, std::string> texts;
  const auto all = body.empty() ? json::object() : json::parse(body, nullptr, false);
  if (!all.is_object()) throw BadRequest("the body must be a JSON object");
  for (const auto& [name, value] : all.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw BadRequest("\"" + name + "\" is not known here");
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
      throw BadRequest("\"" + name + "\" must be a text");
    texts[name] = value.get<std::string>();
  }
  return texts;
}

uint64_t session_id(const std::string& text) {
  uint64_t id = 0;
  const char* end = text.data() + text.size();
  const auto [last, error] = std::from_chars(text.data(), end, id, 16);
  if (error != std::errc() || last != end || id == 0)
    throw BadRequest("\"session\" must be an id as the status shows it");
  return id;
}

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class Act>
Answer attempt(Act act) {
  try {
    return act();
  } catch (const BadRequest& error) {
    return refuse(400, error.what());
  }
}

}  // namespace

Answer refuse(int status, const std::string& text) {
  return {status, to_text({{"error", text}})};
}

Answer kick(const std::string& body, const Sources& sources) {
  return attempt([&] {
    const auto texts = texts_of(body, {"user", "session"});
    if (texts.size() != 1) throw BadRequest("either \"user\" or \"session\" is needed");
    session::KickWish wish;
    if (const auto user = texts.find("user"); user != texts.end())
      wish.user = user->second;
    else
      wish.session = session_id(texts.at("session"));
    const auto kicked = sources.kick(wish);
    if (kicked == 0) return refuse(404, "there is no such client");
    return Answer{200, to_text({{"kicked", kicked}})};
  });
}

Answer drain(const std::string& body, const Sources& sources, Draining draining) {
  return attempt([&] {
    auto texts = texts_of(body, {"backend", "server"});
    DrainWish wish{draining == Draining::kBegins, texts["backend"], texts["server"]};
    if (wish.backend.empty() && !wish.server.empty())
      throw BadRequest("\"server\" needs the \"backend\" that it is a server of");
    const auto meant = sources.drain(wish);
    if (meant == 0) return refuse(404, "there is no such backend or server");
    if (wish.backend.empty()) return Answer{200, to_text({{"draining", wish.on}})};
    return Answer{200, to_text({{"draining", wish.on}, {"servers", meant}})};
  });
}

Answer reload(const std::string& body, const Reload& reload) {
  return attempt([&] {
    texts_of(body, {});
    if (!reload) return refuse(501, "this process has no configuration file to read again");
    const auto outcome = reload();
    if (!outcome) return refuse(503, "the process is ending");
    // 422: the file can't be used, and nothing has changed.
    return Answer{outcome->in_force ? 200 : 422,
                  to_text({{"in_force", outcome->in_force}, {"said", outcome->said}})};
  });
}

}  // namespace imapmux::admin
