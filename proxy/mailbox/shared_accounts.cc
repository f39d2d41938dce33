#include "mailbox/shared_accounts.h"

#include <algorithm>

namespace imapmux::mailbox {

using async::Task;

namespace {

constexpr base::Millis kLookAgain{50};

}  // namespace

std::string SharedAccounts::name_of(const backend::BackendServers& servers, const std::string& login_name,
                                    const auth::CredentialCache::Digest& credential) {
  std::string name = servers.name() + '\0' + login_name;
  if (servers.config().share_credentials == config::ShareCredentials::kIdentical) {
    name += '\0';
    name.append(credential.begin(), credential.end());
  }
  return name;
}

std::shared_ptr<SharedAccount> SharedAccounts::find(const backend::BackendServers& servers,
                                                    const std::string& login_name,
                                                    const auth::CredentialCache::Digest& credential) const {
  const auto found = accounts_.find(name_of(servers, login_name, credential));
  return found == accounts_.end() || found->second->closing() ? nullptr : found->second;
}

std::shared_ptr<SharedAccount> SharedAccounts::get(std::shared_ptr<Account> places,
                                                   std::shared_ptr<backend::BackendServers> servers,
                                                   const std::string& login_name,
                                                   const auth::CredentialCache::Digest& credential) {
  const auto name = name_of(*servers, login_name, credential);
  // One that is closing comes to its end by itself.
  if (const auto found = accounts_.find(name); found != accounts_.end() && !found->second->closing())
    return found->second;
  auto account =
      std::make_shared<SharedAccount>(*this, workplace_, std::move(places), latest(std::move(servers)),
                                      login_name, SharedAccount::Kind::kShared);
  begin(name, account);
  return account;
}

std::shared_ptr<SharedAccount> SharedAccounts::make_private(std::shared_ptr<backend::BackendServers> servers,
                                                            const std::string& login_name) {
  auto places = std::make_shared<Account>(servers->name(), login_name);
  auto account =
      std::make_shared<SharedAccount>(*this, workplace_, std::move(places), latest(std::move(servers)),
                                      login_name, SharedAccount::Kind::kPrivate);
  // No backend's name is empty, so that this one is nobody else's.
  begin('\0' + std::to_string(++private_ones_), account);
  return account;
}

void SharedAccounts::begin(std::string name, std::shared_ptr<SharedAccount> account) {
  accounts_[name] = account;
  lives_.spawn(live(std::move(name), std::move(account)));
}

Task<> SharedAccounts::live(std::string name, std::shared_ptr<SharedAccount> account) {
  co_await account->live();
  const auto found = accounts_.find(name);
  if (found != accounts_.end() && found->second == account) accounts_.erase(found);
}

SharedAccounts::~SharedAccounts() {
  for (const auto& [limit, busy] : limits_) limit->unsubscribe(this);
}

void SharedAccounts::close_unused(const Account& places) {
  for (const auto& [name, account] : accounts_)
    if (account->takes_from(places) && !account->needed()) account->close_early();
}

void SharedAccounts::use(const backend::Backends& backends) {
  latest_ = backends;
  for (const auto& [name, account] : accounts_) {
    if (auto next = latest_of(account->servers())) {
      account->use(std::move(next));
    } else {
      account->wind_down();
    }
  }
}

std::shared_ptr<backend::BackendServers> SharedAccounts::latest_of(
    const backend::BackendServers& servers) const {
  return backend::successor(latest_, servers, workplace_.scheduler().now());
}

std::shared_ptr<backend::BackendServers> SharedAccounts::latest(
    std::shared_ptr<backend::BackendServers> servers) const {
  auto next = latest_of(*servers);
  return next ? next : servers;
}

void SharedAccounts::opened(const std::shared_ptr<backend::ConnectionLimit>& limit) {
  if (!limits_.emplace(limit, false).second) return;
  limit->subscribe(this, [this, &workplace = workplace_, limit = std::weak_ptr(limit)] {
    workplace.post([this, limit] {
      if (const auto alive = limit.lock()) make_room(alive);
    });
  });
}

void SharedAccounts::make_room(const std::shared_ptr<backend::ConnectionLimit>& limit) {
  auto& busy = limits_[limit];
  if (busy || !limit->wants_room() || making_room_.cancelled()) return;
  busy = true;
  making_room_.spawn(keep_making_room(limit));
}

Task<> SharedAccounts::keep_making_room(std::shared_ptr<backend::ConnectionLimit> limit) {
  const auto began = workplace_.scheduler().now();
  while (limit->wants_room()) {
    if (close_one(limit, SharedAccount::Spare::kIdle)) continue;
    // Where all are busy, one after the other has to wait.
    const bool long_enough = std::any_of(accounts_.begin(), accounts_.end(), [&](const auto& entry) {
      return workplace_.scheduler().now() - began >= entry.second->config().max_hold;
    });
    if (long_enough && close_one(limit, SharedAccount::Spare::kBusy)) continue;
    co_await async::sleep_for(kLookAgain);
  }
  limits_[limit] = false;
}

bool SharedAccounts::close_one(const std::shared_ptr<backend::ConnectionLimit>& limit,
                               SharedAccount::Spare kind) {
  std::shared_ptr<SharedAccount> whose;
  std::shared_ptr<SharedConnection> best;
  for (const auto& [name, account] : accounts_) {
    const auto spare = account->spare_connection(*limit, kind);
    if (!spare || (best && best->last_used() <= spare->last_used())) continue;
    whose = account;
    best = spare;
  }
  if (best) whose->retire(best, backend::ConnectionLimit::make_room(limit));
  return best != nullptr;
}

Task<> SharedAccounts::close_all() {
  making_room_.cancel();
  co_await making_room_.join();
  for (const auto& [name, account] : accounts_) account->close();
  co_await lives_.join();
}

}  // namespace imapmux::mailbox
