// Server: what it gives to another process that takes over.
#include <unistd.h>

#include <future>

#include "app/server.h"
#include "base/log.h"

namespace imapmux::app {

using base::Millis;

namespace {

constexpr Millis kLookAgain{20};

}  // namespace

std::string Server::begin_handing_on() {
  const std::lock_guard lock(reloading_);
  if (!running_) return "it is ending";
  if (handing_on_) return "another process is taking over from it";
  if (is_inheriting()) return "it is still taking over itself, try again behind that";
  handing_on_ = true;
  return {};
}

Server::Offer Server::offer() {
  const std::lock_guard lock(reloading_);
  Offer offer;
  for (const auto& [id, bound] : bound_) offer.sockets.push_back({id, bound.endpoint, bound.descriptors});
  const auto config = service()->config;
  if (admin_) {
    offer.admin_address = *started_with_->admin;
    offer.admin = admin_->descriptor();
  }
  for (const auto& [name, backend] : config->backends)
    offer.backends[name] = session::Inheritance::description(backend);
  return offer;
}

void Server::stop_accepting(const std::set<std::string>& taken) {
  const std::lock_guard lock(reloading_);
  std::vector<std::future<void>> held;
  for (auto& worker : workers_) held.push_back(worker->hold(taken));
  for (const auto& one : held)  // workers that have ended answer nothing any more
    while (one.wait_for(kLookAgain) != std::future_status::ready)
      if (!running_) throw std::runtime_error("take-over: this process is ending");
  std::erase_if(bound_, [&](const auto& entry) {
    const bool closes = !taken.contains(entry.first);
    if (closes && entry.second.endpoint.is_unix()) ::unlink(entry.second.endpoint.path.c_str());
    return closes;
  });
  if (admin_) admin_descriptor_ = admin_->let_go();
}

std::vector<std::string> Server::limited_backends() const {
  std::vector<std::string> names;
  const auto in_force = service();
  for (const auto& [name, servers] : in_force->backends)
    if (servers->config().max_connections != 0) names.push_back(name);
  return names;
}

std::vector<Server::Connections> Server::cap_connections() {
  std::vector<Connections> all;
  const auto in_force = service();
  for (const auto& [name, servers] : in_force->backends) {
    if (servers->config().max_connections == 0) continue;
    for (const auto& server : servers->all_servers())
      all.push_back({name, server->endpoint.to_string(), server->limit->cap()});
  }
  return all;
}

void Server::set_theirs(const std::string& backend, const std::string& server, uint32_t number) {
  const auto config = service();
  const auto found = config->backends.find(backend);
  if (found == config->backends.end()) return;
  for (const auto& one : found->second->all_servers()) {
    if (one->endpoint.to_string() != server) continue;
    one->limit->set_theirs(number);
    return;
  }
  // One that an auth_http service has named over there.
  const auto endpoint = base::parse_endpoint(server);
  const auto elsewhere = endpoint ? found->second->at(*endpoint, steady_now()) : nullptr;
  if (elsewhere) elsewhere->servers().front()->limit->set_theirs(number);
}

void Server::give_up(const mailbox::AccountSet& accounts, std::function<void()> done) {
  const auto left = std::make_shared<std::atomic<size_t>>(workers_.size());
  const auto grace = service()->config->shutdown_grace;
  for (auto& worker : workers_)
    worker->give_up(accounts, grace, [left, done] {
      if (--*left == 0) done();
    });
}

void Server::give_up_evenly() {
  const auto grace = service()->config->shutdown_grace;
  for (auto& worker : workers_) worker->give_up_all(drain_time(), grace);
}

Millis Server::drain_time() const {
  return service()->config->takeover.drain;
}

Millis Server::time_to_drain() const {
  return drain_time() + service()->config->shutdown_grace;
}

bool Server::take_back() {
  std::unique_ptr<admin::AdminServer> former;  // ends without the lock: its requests may wait for a reload
  const std::lock_guard lock(reloading_);
  if (!running_ || !handing_on_) return false;
  handing_on_ = false;
  const auto now = service();
  for (const auto& [name, servers] : now->backends)
    for (const auto& server : servers->all_servers()) server->limit->lift_cap();
  for (auto& worker : workers_) worker->go_on();
  if (admin_descriptor_) {
    former = std::move(admin_);
    open_admin();
  }
  try {
    auto again = distribute(open_new(*now->config, {}));  // that the other process did not want
    for (size_t i = 0; i < workers_.size(); ++i) workers_[i]->set_service(now, std::move(again[i]));
  } catch (const std::runtime_error& error) {
    base::log::error("take-over: {}", error.what());
  }
  return true;
}

}  // namespace imapmux::app
