#include "simulation/legacy_backend.h"

#include <fmt/core.h>

#include <algorithm>

#include "demo/legacy_session.h"

namespace imapmux::simulation {
namespace {

// Writes down what passes.
class BackendTap final : public LinkTap {
 public:
  BackendTap(Dialogue& dialogue, std::string name) : dialogue_(dialogue), name_(std::move(name)) {}
  void on_delivered(std::string_view octets) override {
    dialogue_.said(name_, Dialogue::Direction::kToProxy, octets);
  }
  void on_written(std::string_view octets) override {
    dialogue_.said(name_, Dialogue::Direction::kFromProxy, octets);
  }

 private:
  Dialogue& dialogue_;
  const std::string name_;
};

}  // namespace

class LegacyBackend::Connection final : private LinkPeer, private demo::SessionOutput {
 public:
  Connection(demo::LegacyServer& server, std::shared_ptr<Link> link, std::string user)
      : link_(std::move(link)), user_(std::move(user)), session_(server, "192.0.2.1", *this) {
    link_->set_peer(this);
    session_.start();
  }
  bool ended() const { return ended_; }
  bool logged_in() const { return !session_.user().empty(); }
  const std::string& user() const { return user_; }
  void cut() {
    session_.disconnected();
    link_->reset();
    ended_ = true;
  }

 private:
  void send(std::string_view octets) override { link_->send(octets); }
  void close() override {
    link_->finish();
    end();
  }
  void on_octets(std::string_view octets) override {
    if (!session_.closed()) session_.receive(octets);
  }
  void on_end() override {
    if (!session_.closed()) session_.disconnected();
    link_->finish();
    end();
  }
  void on_reset() override { on_end(); }
  void end() {
    if (ended_) return;
    ended_ = true;
    link_->set_peer(nullptr);
  }

  std::shared_ptr<Link> link_;
  const std::string user_;
  demo::LegacySession session_;
  bool ended_ = false;
};

LegacyBackend::LegacyBackend(World& world, Network& network, demo::ServerOptions options, const Rules& rules)
    : world_(world),
      rules_(rules),
      network_(network),
      server_(std::move(options)),
      tick_(world.scheduler, [this] { server_.on_tick(); }) {}

LegacyBackend::~LegacyBackend() = default;

// One that was closed counts until the server has noticed.
void LegacyBackend::check_limits(const std::string& user) const {
  size_t of_user = 1;
  size_t in_all = 1;
  for (const auto& connection : connections_) {
    if (connection->ended()) continue;
    ++in_all;
    of_user += connection->user() == user;
  }
  if (of_user > rules_.most_of_user)
    world_.verdict.fail(user + ".b", fmt::format("{} connections of {}", of_user, user));
  if (rules_.most_in_all > 0 && in_all > rules_.most_in_all)
    world_.verdict.fail(user + ".b", fmt::format("{} connections in all", in_all));
}

std::shared_ptr<Link> LegacyBackend::accept(const std::string& user) {
  check_limits(user);
  auto link = network_.connect(LinkHabits::any(world_.random), {});
  const std::string name = user + ".b" + std::to_string(++accepted_);
  link->set_tap(std::make_shared<BackendTap>(world_.dialogue, name));
  connections_.push_back(std::make_unique<Connection>(server_, link, user));
  return link;
}

void LegacyBackend::notify_soon() {
  if (!tick_.active()) tick_.start(base::Millis(world_.random.below(50)));
}

bool LegacyBackend::connected(const std::string& user) const {
  return std::ranges::any_of(connections_, [&](const auto& connection) {
    return connection->user() == user && !connection->ended() && connection->logged_in();
  });
}

bool LegacyBackend::cut_one(const std::string& user) {
  std::vector<Connection*> candidates;
  for (const auto& connection : connections_)
    if (connection->user() == user && !connection->ended()) candidates.push_back(connection.get());
  if (candidates.empty()) return false;
  world_.random.pick(candidates)->cut();
  return true;
}

void LegacyBackend::sweep() {
  std::erase_if(connections_, [](const auto& connection) { return connection->ended(); });
}

}  // namespace imapmux::simulation
