// What a client is told that it can do: an allow-list, since state that a client sets on a connection it does
// not own for good would leak (ENABLE, CONDSTORE, SEARCH SAVE, COMPRESS, …). Pure.
#pragma once

#include <string>

#include "backend/capabilities.h"
#include "config/config.h"

namespace imapmux::session {

// After login, where the proxy understands every command: what it gives itself (IDLE, UNSELECT, LITERAL+,
// SASL-IR, ID, ENABLE, NAMESPACE), and what it passes where the backend has it.
std::string offered_capabilities(const backend::Capabilities& backend, const config::Backend& config);
// True if a command that needs one of `alternatives` (see wire::CommandInfo::capability) is offered.
bool offers(const backend::Capabilities& backend, const config::Backend& config,
            std::string_view alternatives);
// Response codes of what is not offered: the state of a CONDSTORE mailbox, and capabilities, which are the
// proxy's to tell. In any case.
bool is_hidden_code(std::string_view code);
// After login, for a relay: the backend's own, without what only makes sense before login.
std::string relayed_capabilities(const backend::Capabilities& backend, const config::Backend& config);

}  // namespace imapmux::session
