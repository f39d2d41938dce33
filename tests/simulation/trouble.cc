#include "simulation/trouble.h"

#include <fmt/core.h>

namespace imapmux::simulation {

using base::Millis;

Trouble::Trouble(World& world, LegacyBackend& backend, const Rules& rules, std::vector<std::string> users)
    : world_(world),
      backend_(backend),
      rules_(rules),
      users_(std::move(users)),
      next_act_(world.scheduler, [this] { act(); }) {
  if (rules_.any_trouble()) next_act_.start(Millis(1'000));
}

void Trouble::act() {
  auto& random = world_.random;
  next_act_.start(Millis(random.below(3'000)));
  if (resting_) return;
  const auto& user = random.pick(users_);
  if (rules_.cuts && random.percent(20) && backend_.cut_one(user)) note(user, "a connection is cut");
  if (rules_.silences && random.percent(5) && backend_.hush_one(user))
    note(user, "a connection falls silent");
  if (rules_.restarts && rested() && random.percent(8)) restart();
}

// One outage after the other would be a long one.
bool Trouble::rested() const {
  return world_.outages.empty() || world_.scheduler.now() >= world_.outages.back().end + Millis(30'000);
}

void Trouble::restart() {
  auto& random = world_.random;
  // Some are longer than anybody waits.
  const bool long_outage = random.percent(20);
  const Millis down(long_outage ? random.between(50'000, 90'000) : random.between(50, 6'000));
  for (const auto& user : users_) note(user, fmt::format("the server restarts, for {} ms", down.count()));
  backend_.restart(down, random.percent(50) ? LegacyBackend::Farewell::kBye : LegacyBackend::Farewell::kNone);
  world_.outages.push_back({world_.scheduler.now(), world_.scheduler.now() + down});
}

void Trouble::note(const std::string& user, std::string_view what) {
  ++world_.steps;
  world_.dialogue.note(user + ".b", what);
}

}  // namespace imapmux::simulation
