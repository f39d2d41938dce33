// What POST /api/v1/… asks for, as JSON, and what is answered: no HTTP in here.
#pragma once

#include <string>

#include "admin/sources.h"

namespace imapmux::admin {

struct Answer {
  int status = 200;  // of HTTP
  std::string body;  // JSON
};

// {"error": text}
Answer refuse(int status, const std::string& text);

// {"user": NAME} or {"session": ID, as the status shows it}
Answer kick(const std::string& body, const Sources& sources);
// {} or {"backend": NAME} or {"backend": NAME, "server": HOST:PORT}
enum class Draining : uint8_t { kBegins, kEnds };
Answer drain(const std::string& body, const Sources& sources, Draining draining);
// {}
Answer reload(const std::string& body, const Reload& reload);

}  // namespace imapmux::admin
