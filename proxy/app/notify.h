// What the service manager wants to know (sd_notify(3)): READY=1, RELOADING=1, STOPPING=1, MAINPID=n.
#pragma once

#include <string>

namespace imapmux::app {

// Nothing happens where none has started this process (no NOTIFY_SOCKET). Any thread.
void notify(const std::string& state);

}  // namespace imapmux::app
