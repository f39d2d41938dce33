#include "session/capability_list.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace imapmux::session {
namespace {

constexpr std::array<std::string_view, 7> kGiven = {"LITERAL+", "SASL-IR",  "ID",       "ENABLE",
                                                    "IDLE",     "UNSELECT", "NAMESPACE"};
constexpr std::array<std::string_view, 14> kPassed = {
    "UIDPLUS",         "MOVE",     "QUOTA",         "ACL",         "SORT",
    "ESEARCH",         "CHILDREN", "LIST-EXTENDED", "SPECIAL-USE", "METADATA",
    "METADATA-SERVER", "BINARY",   "MULTIAPPEND",   "WITHIN"};

bool passed(std::string_view name) {
  if (name.starts_with("THREAD=") || name.starts_with("RIGHTS=")) return true;
  return std::find(kPassed.begin(), kPassed.end(), name) != kPassed.end();
}

bool hidden(std::string_view name, const config::Backend& config) {
  const auto& list = config.hide_capabilities;
  return std::find(list.begin(), list.end(), name) != list.end();
}

void add(std::string& list, std::string_view name) {
  list += ' ';
  list += name;
}

}  // namespace

std::string offered_capabilities(const backend::Capabilities& backend, const config::Backend& config) {
  std::string list = "IMAP4rev1";
  for (const auto name : kGiven)
    if (!hidden(name, config)) add(list, name);
  for (const auto& name : backend.names())
    if (passed(name) && !hidden(name, config)) add(list, name);
  return list;
}

bool offers(const backend::Capabilities& backend, const config::Backend& config,
            std::string_view alternatives) {
  if (alternatives.empty()) return true;
  for (;;) {
    const auto end = alternatives.find('|');
    const auto name = alternatives.substr(0, end);
    if (backend.has(name) && passed(name) && !hidden(name, config)) return true;
    if (end == std::string_view::npos) return false;
    alternatives.remove_prefix(end + 1);
  }
}

bool is_hidden_code(std::string_view code) {
  return base::equals_ignore_case(code, "CAPABILITY") || base::equals_ignore_case(code, "HIGHESTMODSEQ") ||
         base::equals_ignore_case(code, "NOMODSEQ");
}

std::string relayed_capabilities(const backend::Capabilities& backend, const config::Backend& config) {
  std::string list = "IMAP4rev1";
  for (const auto& name : backend.names()) {
    const bool before_login = name == "STARTTLS" || name == "LOGINDISABLED" || name.starts_with("AUTH=");
    if (name != "IMAP4REV1" && !before_login && !hidden(name, config)) add(list, name);
  }
  return list;
}

}  // namespace imapmux::session
