// What `imapmux status` and `imapmux health` ask a running process.
#pragma once

#include <string>

#include "base/address.h"

namespace imapmux::admin {

struct AdminAnswer {
  int status = 0;  // of HTTP; 0: nobody answered, and the body says why
  std::string body;
};
AdminAnswer ask_admin(const base::Endpoint& admin, const std::string& path, const std::string& token);

}  // namespace imapmux::admin
