#include "simulation/legacy_backend.h"

#include <fmt/core.h>

#include <algorithm>

#include "demo/legacy_session.h"

namespace imapmux::simulation {
namespace {

// Writes down what passes, and when the proxy gets to know that it is lost.
class BackendTap final : public LinkTap {
 public:
  BackendTap(World& world, std::string user, std::string name)
      : world_(world), user_(std::move(user)), name_(std::move(name)) {}
  void is_lost() {
    if (lost_) return;
    lost_ = true;
    ++world_.losses[user_].unnoticed;
  }
  void on_delivered(std::string_view octets) override {
    world_.dialogue.said(name_, Dialogue::Direction::kToProxy, octets);
  }
  void on_written(std::string_view octets) override {
    world_.dialogue.said(name_, Dialogue::Direction::kFromProxy, octets);
  }
  void on_lost() override { noticed(); }
  void on_stream_closed() override { noticed(); }

 private:
  void noticed() {
    if (!lost_ || noticed_) return;
    noticed_ = true;
    --world_.losses[user_].unnoticed;
    world_.losses[user_].noticed.push_back(world_.moments.now());
    world_.dialogue.note(name_, "is known to be lost");
  }

  World& world_;
  const std::string user_;
  const std::string name_;
  bool lost_ = false;
  bool noticed_ = false;
};

}  // namespace

class LegacyBackend::Connection final : private LinkPeer, private demo::SessionOutput {
 public:
  Connection(World& world, demo::LegacyServer& server, std::shared_ptr<Link> link,
             std::shared_ptr<BackendTap> tap, std::string user)
      : world_(world),
        link_(std::move(link)),
        tap_(std::move(tap)),
        user_(std::move(user)),
        session_(server, "192.0.2.1", *this) {
    link_->set_tap(tap_);
    link_->set_peer(this);
    session_.start();
  }
  bool ended() const { return ended_; }
  const std::string& user() const { return user_; }
  // It exists only in the proxy's eyes.
  bool is_ghost() const { return silent_ && !link_->left_by_proxy(); }
  bool silent() const { return silent_; }
  void cut(size_t octets) {
    tap_->is_lost();
    session_.disconnected();
    note_selection();
    link_->break_off(octets);
    ended_ = true;
  }
  void say_bye() {
    tap_->is_lost();
    session_.sever("Server shutting down");
    note_selection();
  }
  void hush() {
    tap_->is_lost();
    session_.disconnected();
    note_selection();
    silent_ = true;
  }
  size_t undelivered() const { return link_->undelivered(); }

 private:
  void send(std::string_view octets) override { link_->send(octets); }
  void close() override {
    link_->finish();
    end();
  }
  void on_octets(std::string_view octets) override {
    if (!session_.closed()) session_.receive(octets);
    note_selection();
  }
  void note_selection() {
    const uint64_t now = session_.selected() ? session_.selected()->id() : 0;
    if (selected_ != 0 && selected_ != now) world_.deselections[selected_].push_back(world_.moments.now());
    selected_ = now;
  }
  void on_end() override {
    if (!session_.closed()) session_.disconnected();
    note_selection();
    link_->finish();
    end();
  }
  void on_reset() override { on_end(); }
  void end() {
    if (ended_) return;
    ended_ = true;
    link_->set_peer(nullptr);
  }

  World& world_;
  std::shared_ptr<Link> link_;
  std::shared_ptr<BackendTap> tap_;
  const std::string user_;
  demo::LegacySession session_;
  uint64_t selected_ = 0;  // 0: none
  bool silent_ = false;
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
    if (connection->ended() || (connection->silent() && !connection->is_ghost())) continue;
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
  auto tap = std::make_shared<BackendTap>(world_, user, name);
  connections_.push_back(std::make_unique<Connection>(world_, server_, link, std::move(tap), user));
  return link;
}

void LegacyBackend::notify_soon() {
  if (!tick_.active()) tick_.start(base::Millis(world_.random.below(50)));
}

LegacyBackend::Connection* LegacyBackend::any_of(const std::string& user) {
  std::vector<Connection*> candidates;
  for (const auto& connection : connections_)
    if (connection->user() == user && !connection->ended() && !connection->silent())
      candidates.push_back(connection.get());
  return candidates.empty() ? nullptr : world_.random.pick(candidates);
}

bool LegacyBackend::cut_one(const std::string& user) {
  auto* connection = any_of(user);
  if (connection) connection->cut(world_.random.below(connection->undelivered() + 1));
  return connection;
}

bool LegacyBackend::hush_one(const std::string& user) {
  auto* connection = any_of(user);
  if (connection) connection->hush();
  return connection;
}

void LegacyBackend::restart(base::Millis down, Farewell farewell) {
  down_until_ = world_.scheduler.now() + down;
  for (const auto& connection : connections_) {
    if (connection->ended() || connection->silent()) continue;
    if (farewell == Farewell::kBye) {
      connection->say_bye();
    } else {
      connection->cut(world_.random.below(connection->undelivered() + 1));
    }
  }
}

void LegacyBackend::sweep() {
  std::erase_if(connections_, [](const auto& connection) { return connection->ended(); });
}

}  // namespace imapmux::simulation
