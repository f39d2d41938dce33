// Waiting for one of a limited number of connections, on a loop.
#pragma once

#include "async/task.h"
#include "backend/backend_servers.h"
#include "net/event_loop.h"

namespace imapmux::backend {

// Nothing: none became free within `most`.
async::Task<std::optional<ConnectionLimit::Permit>> take_place(net::EventLoop& loop,
                                                               std::shared_ptr<ConnectionLimit> limit,
                                                               base::Millis most);

}  // namespace imapmux::backend
