#include "backend/backend_servers.h"

#include <algorithm>
#include <tuple>

#include "base/log_event.h"
#include "routing/router.h"

namespace imapmux::backend {
namespace {

base::log::Event down_event{base::log::Level::kWarn, "server is down"};
base::log::Event returns_event{base::log::Level::kInfo, "user goes back to his server"};
base::log::Event up_event{base::log::Level::kInfo, "server is up again"};

// Servers that auth_http services name.
constexpr size_t kMostElsewhere = 4'096;
constexpr base::Millis kKeepUnused{10 * 60 * 1000};

net::ClientTlsOptions tls_options(const config::Backend& backend) {
  net::ClientTlsOptions options;
  options.trust = static_cast<net::TlsTrust>(backend.tls_verify);
  options.ca = backend.ca;
  options.floor = static_cast<net::TlsFloor>(backend.min_protocol);
  options.ciphers = backend.ciphers;
  return options;
}

}  // namespace

void ConnectionLimit::set_most(uint32_t most) {
  Waiters granted;
  {
    const std::lock_guard lock(mutex_);
    most_ = most;
    granted = grant();
  }
  for (const auto& waiter : granted) waiter->granted();
}

bool ConnectionLimit::acquire(const std::shared_ptr<Waiter>& waiter) {
  {
    const std::lock_guard lock(mutex_);
    if (take_free()) return true;
    waiters_.push_back(waiter);
    waiting_now_ = static_cast<uint32_t>(waiters_.size());
  }
  const std::lock_guard lock(subscribers_mutex_);
  for (const auto& [who, wanted] : subscribers_) wanted();
  return false;
}

void ConnectionLimit::subscribe(const void* who, std::function<void()> wanted) {
  const std::lock_guard lock(subscribers_mutex_);
  subscribers_[who] = std::move(wanted);
}

void ConnectionLimit::unsubscribe(const void* who) {
  const std::lock_guard lock(subscribers_mutex_);
  subscribers_.erase(who);
}

std::shared_ptr<void> ConnectionLimit::make_room(std::shared_ptr<ConnectionLimit> limit) {
  auto* raw = limit.get();
  ++raw->coming_;
  return {raw, [limit = std::move(limit)](void*) { --limit->coming_; }};
}

bool ConnectionLimit::is_shared() const {
  const std::lock_guard lock(mutex_);
  return most_ != 0 && used_ + theirs_ > 1;
}

bool ConnectionLimit::has_room() const {
  const std::lock_guard lock(mutex_);
  return is_free() && waiters_.empty();
}

bool ConnectionLimit::try_acquire() {
  const std::lock_guard lock(mutex_);
  return take_free();
}

bool ConnectionLimit::take_free() {
  if (!is_free() || !waiters_.empty()) return false;
  ++used_;
  return true;
}

void ConnectionLimit::withdraw(const std::shared_ptr<Waiter>& waiter) {
  {
    const std::lock_guard lock(mutex_);
    if (!waiter->has_place) {
      waiters_.remove(waiter);
      waiting_now_ = static_cast<uint32_t>(waiters_.size());
      return;
    }
    waiter->has_place = false;
  }
  release();
}

void ConnectionLimit::release() {
  Waiters granted;
  {
    const std::lock_guard lock(mutex_);
    --used_;
    granted = grant();
  }
  for (const auto& waiter : granted) waiter->granted();
}

ConnectionLimit::Waiters ConnectionLimit::grant() {
  Waiters granted;
  while (!waiters_.empty() && is_free()) {
    granted.splice(granted.end(), waiters_, waiters_.begin());
    granted.back()->has_place = true;
    ++used_;
  }
  waiting_now_ = static_cast<uint32_t>(waiters_.size());
  return granted;
}

uint32_t ConnectionLimit::cap() {
  const std::lock_guard lock(mutex_);
  cap_ = used_;
  return cap_;
}

void ConnectionLimit::lift_cap() {
  Waiters granted;
  {
    const std::lock_guard lock(mutex_);
    cap_ = kNoCap;
    granted = grant();
  }
  for (const auto& waiter : granted) waiter->granted();
}

void ConnectionLimit::set_theirs(uint32_t theirs) {
  Waiters granted;
  {
    const std::lock_guard lock(mutex_);
    theirs_ = theirs;
    granted = grant();
  }
  for (const auto& waiter : granted) waiter->granted();
}

uint32_t ConnectionLimit::in_use() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

uint32_t ConnectionLimit::waiting() const {
  const std::lock_guard lock(mutex_);
  return static_cast<uint32_t>(waiters_.size());
}

std::shared_ptr<BackendServers::Server> KnownServers::get(const std::string& backend,
                                                          const base::Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  std::erase_if(servers_, [](const auto& entry) { return entry.second.expired(); });
  auto& entry = servers_[{backend, endpoint.to_string()}];
  auto server = entry.lock();
  if (!server) {
    server = std::make_shared<BackendServers::Server>();
    server->endpoint = endpoint;
    entry = server;
  }
  return server;
}

std::shared_ptr<DisplacedUsers> KnownServers::displaced(const std::string& backend) {
  const std::lock_guard lock(mutex_);
  auto& users = displaced_[backend];
  if (!users) users = std::make_shared<DisplacedUsers>();
  return users;
}

std::shared_ptr<BackendServers> BackendServers::make(config::ConfigPtr config, const config::Backend& backend,
                                                     std::shared_ptr<KnownServers> known) {
  auto made = std::make_shared<BackendServers>();
  made->owner_ = std::move(config);
  made->backend_ = &backend;
  made->name_ = backend.name;
  if (backend.tls != config::BackendTls::kNone) made->tls_ = net::ClientTls::make(tls_options(backend));
  for (const auto& endpoint : backend.servers) made->servers_.push_back(known->get(backend.name, endpoint));
  made->known_ = known;
  made->displaced_ = known->displaced(backend.name);
  return made;
}

void BackendServers::apply_limits() const {
  for (const auto& server : servers_) {
    server->limit->set_most(backend_->max_connections);
    if (!backend_->health_check) server->health.forget();
  }
  for (const auto& other : elsewhere()) other->apply_limits();
}

void BackendServers::inherit(const BackendServers& before) {
  const std::scoped_lock lock(mutex_, before.mutex_);
  for (const auto& [key, one] : before.elsewhere_)
    elsewhere_[key] = {make_elsewhere(one.servers->servers_.front()), one.asked_for};
}

std::shared_ptr<BackendServers> BackendServers::make_elsewhere(std::shared_ptr<Server> server) const {
  auto made = std::make_shared<BackendServers>();
  made->owner_ = owner_;
  made->backend_ = backend_;
  made->name_ = name_ + "@" + server->endpoint.to_string();  // "@" is in no backend's name
  made->tls_ = tls_;
  made->known_ = known_;
  made->displaced_ = displaced_;
  made->servers_.push_back(std::move(server));
  return made;
}

std::shared_ptr<BackendServers> BackendServers::at(const base::Endpoint& server, base::Instant now) const {
  const auto key = server.to_string();
  const std::lock_guard lock(mutex_);
  if (const auto found = elsewhere_.find(key); found != elsewhere_.end()) {
    found->second.asked_for = now;
    return found->second.servers;
  }
  forget_unused(now);
  if (elsewhere_.size() >= kMostElsewhere) return nullptr;
  auto one = known_->get(backend_->name, server);  // it may be one of the backend's own
  if (one.use_count() == 1) one->limit->set_most(backend_->max_connections);  // else it has its limit
  auto made = make_elsewhere(std::move(one));
  elsewhere_[key] = {made, now};
  return made;
}

bool BackendServers::has_only(const base::Endpoint& server) const {
  return servers_.size() == 1 && servers_.front()->endpoint == server;
}

void BackendServers::forget_unused(base::Instant now) const {
  std::erase_if(elsewhere_, [now](const auto& entry) {
    const auto& [servers, asked_for] = entry.second;
    const bool drained = servers->servers_.front()->draining;
    return servers.use_count() == 1 && now - asked_for >= kKeepUnused && !drained;
  });
}

std::vector<std::shared_ptr<BackendServers>> BackendServers::elsewhere() const {
  std::vector<std::shared_ptr<BackendServers>> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, one] : elsewhere_) all.push_back(one.servers);
  return all;
}

std::vector<std::shared_ptr<BackendServers::Server>> BackendServers::all_servers() const {
  auto all = servers_;
  for (const auto& other : elsewhere()) {
    const auto& server = other->servers().front();
    if (std::find(servers_.begin(), servers_.end(), server) == servers_.end()) all.push_back(server);
  }
  return all;
}

std::shared_ptr<BackendServers> successor(const Backends& backends, const BackendServers& servers,
                                          base::Instant now) {
  const auto found = backends.find(servers.config().name);
  if (found == backends.end()) return nullptr;
  if (servers.name() == servers.config().name) return found->second;
  return found->second->at(servers.servers().front()->endpoint, now);
}

std::vector<std::shared_ptr<BackendServers::Server>> BackendServers::preference_of(
    std::string_view login_name) const {
  if (servers_.size() <= 1) return servers_;
  std::vector<std::shared_ptr<Server>> preference;
  for (const size_t i : routing::server_preference(*backend_, login_name)) preference.push_back(servers_[i]);
  if (!backend_->failover) preference.resize(1);
  return preference;
}

const BackendServers::Server* BackendServers::current(
    const std::string& login_name, const std::vector<std::shared_ptr<Server>>& preference) const {
  if (preference.size() <= 1) return nullptr;
  for (const auto& server : preference)
    if (server->users->has(login_name)) return server.get();
  const auto last = displaced_->whereabouts(login_name);
  if (!last) return nullptr;
  for (const auto& server : preference)
    if (server->endpoint.to_string() == *last) return server.get();
  return nullptr;
}

std::vector<std::shared_ptr<BackendServers::Server>> BackendServers::candidates(const std::string& login_name,
                                                                                base::Instant now) const {
  const auto preference = preference_of(login_name);
  const auto* here = current(login_name, preference);
  // By standing, and of equal ones by preference. Each is asked once: it may change meanwhile.
  std::vector<std::tuple<ServerHealth::Standing, bool, size_t>> ranked;
  for (size_t i = 0; i < preference.size(); ++i) {
    const auto& server = *preference[i];
    const bool is_there = server.users->has(login_name);
    if (server.draining && !is_there) continue;
    auto standing = server.health.standing(now);
    // What befell one connection, of whomever, must not make him have some on each.
    if (is_there && standing == ServerHealth::Standing::kPassedOver) standing = ServerHealth::Standing::kUp;
    ranked.emplace_back(standing, &server != here, i);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::shared_ptr<Server>> order;
  if (ranked.empty() || std::get<0>(ranked.front()) == ServerHealth::Standing::kDown) return order;
  for (const auto& [standing, away, i] : ranked) order.push_back(preference[i]);
  return order;
}

std::vector<std::shared_ptr<BackendServers::Server>> BackendServers::choose(const std::string& login_name,
                                                                            base::Instant now) const {
  const auto any = [&](const auto& server) { return server->users->has(login_name); };
  const bool connected = servers_.size() > 1 && std::any_of(servers_.begin(), servers_.end(), any);
  if (!connected) bring_back(login_name, now);
  return candidates(login_name, now);
}

void BackendServers::settled(const std::string& login_name, const Server& server) const {
  const auto preference = preference_of(login_name);
  if (preference.size() <= 1) return;
  if (preference.front().get() == &server) {
    displaced_->is_home(login_name);
  } else {
    displaced_->went_away(login_name, server.endpoint.to_string());
  }
}

bool BackendServers::is_displaced(const std::string& login_name) const {
  return servers_.size() > 1 && displaced_->whereabouts(login_name).has_value();
}

bool BackendServers::bring_back(const std::string& login_name, base::Instant now) const {
  if (!is_displaced(login_name)) return false;
  const auto& home = *preference_of(login_name).front();
  const bool takes_users = !home.draining && home.health.standing(now) == ServerHealth::Standing::kUp;
  const auto server = home.endpoint.to_string();
  if (!takes_users || !displaced_->bring_back(login_name, server, now)) return false;
  returns_event.write({{"backend", backend_->name}, {"server", server}, {"user", login_name}});
  return true;
}

bool BackendServers::has_room(const std::string& login_name, base::Instant now) const {
  const auto all = candidates(login_name, now);
  return !all.empty() && all.front()->limit->has_room();
}

void BackendServers::failed(Server& server, base::Instant now, std::string_view reason) const {
  server.failures.fetch_add(1, std::memory_order_relaxed);
  if (server.health.failed(now, backend_->health_check) != ServerHealth::Change::kDown) return;
  server.times_down.fetch_add(1, std::memory_order_relaxed);
  down_event.write(
      {{"backend", backend_->name}, {"server", server.endpoint.to_string()}, {"reason", reason}});
}

void BackendServers::succeeded(Server& server, base::Instant now) const {
  server.connects.fetch_add(1, std::memory_order_relaxed);
  if (server.health.succeeded(now, backend_->health_check) != ServerHealth::Change::kUp) return;
  up_event.write({{"backend", backend_->name}, {"server", server.endpoint.to_string()}});
}

}  // namespace imapmux::backend
