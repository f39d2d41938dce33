// `imapmux status` and `imapmux health`: what a running process says at its admin endpoint.
#pragma once

#include <string>

#include "base/address.h"

namespace imapmux::app {

struct AskOptions {
  base::Endpoint admin;
  std::string token;
};

enum class StatusForm : uint8_t { kText, kJson };

// Exit statuses.
int print_status(const AskOptions& options, StatusForm form);
// Again and again, until a signal ends it or nobody answers any more.
int watch_status(const AskOptions& options, StatusForm form);
int health(const AskOptions& options);

}  // namespace imapmux::app
