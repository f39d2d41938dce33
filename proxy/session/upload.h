// Reading away what a client uploads with a command that is refused.
#pragma once

#include "async/task.h"
#include "session/client_reader.h"

namespace imapmux::session {

// `waits`: the client waits for "+" before its first literal, which then is not sent at all.
async::Task<> skip_upload(ClientReader& reader, bool waits);

}  // namespace imapmux::session
