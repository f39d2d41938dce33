// Server: what the admin endpoint shows and does. All of it on the endpoint's threads.
#include <algorithm>
#include <future>

#include "app/server.h"
#include "app/version.h"
#include "base/log_event.h"

namespace imapmux::app {
namespace {

using base::log::Event;
using base::log::Level;

Event kicked_event{Level::kInfo, "clients disconnected by the administrator"};
Event drained_event{Level::kInfo, "server is drained: no new users go there"};
Event undrained_event{Level::kInfo, "server is drained no more"};
Event leaving_event{Level::kInfo, "drained: not ready for new clients, as /readyz says"};
Event staying_event{Level::kInfo, "drained no more"};

constexpr std::chrono::seconds kPatience{2};  // with workers that are busy, or ending

template <class T>
struct Answers {
  std::vector<std::future<T>> ones;
  // What to call with the answer.
  std::function<void(T)> expect_one() {
    auto promise = std::make_shared<std::promise<T>>();
    ones.push_back(promise->get_future());
    return [promise](T value) { promise->set_value(std::move(value)); };
  }
};

}  // namespace

void Server::open_admin() {
  if (!started_with_->admin) return;
  admin_ = std::make_unique<admin::AdminServer>(
      *started_with_->admin,
      admin::Sources{
          .status = [this](session::Detail detail) { return snapshot(detail); },
          .readiness =
              [this] {
                if (!running_) return admin::Readiness::kNotReady;
                return draining_ ? admin::Readiness::kDrained : admin::Readiness::kReady;
              },
          .token = [this] { return service()->config->admin_token.clone(); },
          .metrics_token = [this] { return service()->config->admin_metrics_token.clone(); },
          .kick = [this](const session::KickWish& wish) { return kick(wish); },
          .drain = [this](const admin::DrainWish& wish) { return drain(wish); },
          .reload = reload_,
      },
      std::move(admin_descriptor_));
}

// As many answers as come in time: a worker that is ending does not answer any more.
template <class T, class Ask, class Take>
void Server::ask_workers(Ask ask, Take take) {
  if (!running_) return;
  Answers<T> answers;
  for (auto& worker : workers_) ask(*worker, answers.expect_one());
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (auto& answer : answers.ones) {
    auto state = std::future_status::timeout;
    while (state != std::future_status::ready && running_ && std::chrono::steady_clock::now() < deadline)
      state = answer.wait_for(std::chrono::milliseconds(20));
    if (state == std::future_status::ready) take(answer.get());
  }
}

base::Instant Server::steady_now() {
  return base::Instant(
      std::chrono::duration_cast<base::Millis>(std::chrono::steady_clock::now().time_since_epoch()));
}

session::Snapshot Server::snapshot(session::Detail detail) {
  session::Snapshot all;
  all.version = kVersion;
  all.workers = workers_.size();
  all.ready = running_ && !draining_;
  all.draining = draining_;
  all.uptime = std::chrono::duration_cast<base::Millis>(std::chrono::steady_clock::now() - started_);
  const auto& counters = shared_.counters;
  all.clients = counters.clients;
  all.sessions_total = counters.sessions;
  all.clients_refused = counters.clients_refused;
  all.logins = counters.logins;
  all.logins_refused = counters.logins_refused;
  all.logins_unavailable = counters.logins_unavailable;
  all.in_use = counters.in_use;
  all.hand_overs = counters.hand_overs;
  all.spooled = shared_.spool->used();
  all.most_spooled = shared_.spool->most();
  all.leases_held = shared_.arbiter.held();
  all.leases_waiting = shared_.arbiter.waiting();
  if (detail.most > 0) all.leases = shared_.arbiter.snapshot();
  std::sort(all.leases.begin(), all.leases.end(),
            [](const auto& a, const auto& b) { return a.waiting > b.waiting; });
  if (all.leases.size() > detail.most) all.leases.resize(detail.most);
  all.meters = session::Readings::now();

  const auto now = steady_now();
  const auto in_force = service();
  for (const auto& [name, servers] : in_force->backends) {
    for (const auto& server : servers->all_servers()) {
      all.servers.push_back({.backend = name,
                             .server = server->endpoint.to_string(),
                             .standing = server->health.standing(now),
                             .draining = server->draining,
                             .connections = server->limit->in_use(),
                             .max_connections = servers->config().max_connections,
                             .waiting = server->limit->waiting(),
                             .connects = server->connects,
                             .failures = server->failures,
                             .times_down = server->times_down,
                             .connect_time = server->connect_time.average(),
                             .answer_time = server->answer_time.average()});
    }
  }
  ask_workers<session::WorkerReport>(
      [detail](Worker& worker, auto done) { worker.collect(detail, std::move(done)); },
      [&all](session::WorkerReport report) { all.all.add(std::move(report)); });
  all.all.trim(detail);
  return all;
}

size_t Server::kick(const session::KickWish& wish) {
  size_t kicked = 0;
  ask_workers<size_t>([&wish](Worker& worker, auto done) { worker.kick(wish, std::move(done)); },
                      [&kicked](size_t more) { kicked += more; });
  const auto session = wish.user.empty() ? fmt::format("{:x}", wish.session) : std::string();
  kicked_event.write({{"user", wish.user}, {"session", session}, {"clients", kicked}});
  return kicked;
}

size_t Server::drain(const admin::DrainWish& wish) {
  if (wish.backend.empty()) {
    draining_ = wish.on;
    (wish.on ? leaving_event : staying_event).write({});
    return 1;
  }
  size_t meant = 0;
  const auto in_force = service();
  for (const auto& [name, servers] : in_force->backends) {
    if (name != wish.backend) continue;
    for (const auto& server : servers->all_servers()) {
      if (!wish.server.empty() && server->endpoint.to_string() != wish.server) continue;
      ++meant;
      server->draining = wish.on;
      const auto endpoint = server->endpoint.to_string();
      (wish.on ? drained_event : undrained_event).write({{"backend", name}, {"server", endpoint}});
    }
  }
  if (wish.on && running_)
    for (auto& worker : workers_) worker->see_drained();
  return meant;
}

}  // namespace imapmux::app
