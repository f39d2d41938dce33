#include "session/refusal.h"

#include "session/capability_list.h"
#include "session/command_check.h"

namespace imapmux::session {

using wire::Verb;

std::optional<std::string> refusal_of(const wire::Command& command, Standing standing,
                                      const backend::Capabilities& backend, const config::Backend& config) {
  const auto& info = wire::info(command.verb);
  if (command.verb == Verb::kUnknown) return "BAD Unknown command";
  const bool in_mailbox = standing.selected || standing.vanished;
  const auto state = static_cast<uint8_t>(in_mailbox ? wire::State::kSelected : wire::State::kAuthenticated);
  if (!(info.states & state)) {
    const bool too_late = info.states == static_cast<uint8_t>(wire::State::kNotAuthenticated);
    return too_late ? "BAD You are logged in already" : "BAD No mailbox is selected";
  }
  if (!offers(backend, config, info.capability)) return "BAD This command is not supported";
  if (auto problem = problem_with(command)) return "BAD " + *problem;
  const bool needs_mailbox = info.states == static_cast<uint8_t>(wire::State::kSelected);
  if (standing.vanished && needs_mailbox) {
    if (command.verb == Verb::kCheck || command.verb == Verb::kClose || command.verb == Verb::kUnselect)
      return std::nullopt;
    return "NO [NONEXISTENT] The mailbox was deleted";
  }
  if (standing.selected && standing.read_only && info.writes)
    return "NO [READ-ONLY] The mailbox is open read-only";
  return std::nullopt;
}

bool changes_mail(Verb verb) {
  const auto& info = wire::info(verb);
  return info.writes || info.opens == wire::Opens::kAppend || info.opens == wire::Opens::kCopyTarget ||
         info.opens == wire::Opens::kRestructure || verb == Verb::kCreate || verb == Verb::kClose;
}

}  // namespace imapmux::session
