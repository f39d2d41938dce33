// What befalls the legacy server: connections are cut or fall silent, it restarts. Owned by the Simulation.
#pragma once

#include <string>
#include <vector>

#include "simulation/legacy_backend.h"
#include "simulation/rules.h"
#include "simulation/world.h"

namespace imapmux::simulation {

class Trouble {
 public:
  Trouble(World& world, LegacyBackend& backend, const Rules& rules, std::vector<std::string> users);

  void rest(bool resting) { resting_ = resting; }

 private:
  void act();
  void note(const std::string& user, std::string_view what);
  void restart();
  bool rested() const;

  World& world_;
  LegacyBackend& backend_;
  const Rules& rules_;
  const std::vector<std::string> users_;
  async::Timer next_act_;
  bool resting_ = false;
};

}  // namespace imapmux::simulation
