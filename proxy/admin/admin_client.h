// What `imapmux status` and `imapmux health` ask a running process.
#pragma once

#include <string>
#include <string_view>

#include "base/address.h"

namespace imapmux::admin {

// What /readyz says of a process that an administrator has drained, with status 503.
constexpr std::string_view kDrained = "drained\n";

struct AdminAnswer {
  int status = 0;  // of HTTP; 0: nobody answered, and the body says why
  std::string body;
};
AdminAnswer ask_admin(const base::Endpoint& admin, const std::string& path, const std::string& token);

}  // namespace imapmux::admin
