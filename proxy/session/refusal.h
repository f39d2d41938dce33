// Whether a command may be executed where its client stands: one answer for `exclusive` and `shared`. Pure.
#pragma once

#include <optional>
#include <string>

#include "backend/capabilities.h"
#include "config/config.h"
#include "wire/command_parser.h"

namespace imapmux::session {

struct Standing {
  bool selected = false;
  bool vanished = false;   // the mailbox that was selected has been deleted by this client
  bool read_only = false;  // it was opened by EXAMINE, or can't be written
};

// Nothing: it may. Else the answer, fit behind a tag.
std::optional<std::string> refusal_of(const wire::Command& command, Standing standing,
                                      const backend::Capabilities& backend, const config::Backend& config);
// Commands that are not repeated when nobody knows whether they were done.
bool changes_mail(wire::Verb verb);

}  // namespace imapmux::session
