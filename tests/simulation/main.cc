// simulation: clients, the proxy and a legacy server on a virtual clock; see README.md.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/log.h"
#include "simulation/simulation.h"

namespace {

using namespace imapmux;
using simulation::Access;
using Clock = std::chrono::steady_clock;

struct Totals {
  uint64_t steps = 0;
  uint64_t runs = 0;
};

bool run_one(const simulation::RunOptions& options, Totals& totals) {
  simulation::Simulation simulation(options);
  const bool good = simulation.run();
  totals.steps += simulation.steps();
  ++totals.runs;
  if (!good)
    std::printf("%s\nFAILED: simulation --access %s --seed %llu --steps %llu\n", simulation.report().c_str(),
                options.access == Access::kShared ? "shared" : "exclusive",
                static_cast<unsigned long long>(options.seed),
                static_cast<unsigned long long>(options.steps));
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  simulation::RunOptions options;
  uint64_t seeds = 1;
  double minutes = 0;
  std::string access = "exclusive";
  CLI::App app(
      "Simulates clients, the proxy and a legacy server. IMAPMUX_SIMULATION_SCALE multiplies --steps.");
  app.add_option("--seed", options.seed, "the first seed")->capture_default_str();
  app.add_option("--seeds", seeds, "how many seeds, one after the other")->capture_default_str();
  app.add_option("--steps", options.steps, "client commands and server events of each seed")
      ->capture_default_str();
  app.add_option("--minutes", minutes, "instead of --seeds: random seeds for so long");
  app.add_option("--access", access)->check(CLI::IsMember({"shared", "exclusive"}))->capture_default_str();
  app.add_flag("--verbose", options.verbose, "print every line that is said");
  CLI11_PARSE(app, argc, argv);
  options.access = access == "shared" ? Access::kShared : Access::kExclusive;
  if (const char* scale = std::getenv("IMAPMUX_SIMULATION_SCALE"))
    options.steps = static_cast<uint64_t>(static_cast<double>(options.steps) * std::atof(scale));
  base::log::configure(options.verbose ? base::log::Level::kDebug : base::log::Level::kError,
                       base::log::Format::kText);

  const auto begun = Clock::now();
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - begun).count(); };
  Totals totals;
  std::random_device entropy;
  for (uint64_t i = 0; minutes > 0 ? spent() < minutes * 60 : i < seeds; ++i) {
    if (i > 0) options.seed = minutes > 0 ? entropy() : options.seed + 1;
    if (minutes > 0 && i == 0) options.seed = entropy();
    if (!run_one(options, totals)) return 1;
  }
  std::printf("%llu steps in %llu runs, %.1f s: %.0f steps/s\n",
              static_cast<unsigned long long>(totals.steps), static_cast<unsigned long long>(totals.runs),
              spent(), static_cast<double>(totals.steps) / spent());
  return 0;
}
