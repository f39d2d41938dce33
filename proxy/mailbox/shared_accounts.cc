#include "mailbox/shared_accounts.h"

namespace imapmux::mailbox {

using async::Task;

std::string SharedAccounts::name_of(const config::Backend& backend, const std::string& login_name,
                                    const auth::CredentialCache::Digest& credential) {
  std::string name = backend.name + '\0' + login_name;
  if (backend.share_credentials == config::ShareCredentials::kIdentical) {
    name += '\0';
    name.append(credential.begin(), credential.end());
  }
  return name;
}

std::shared_ptr<SharedAccount> SharedAccounts::find(const config::Backend& backend,
                                                    const std::string& login_name,
                                                    const auth::CredentialCache::Digest& credential) const {
  const auto found = accounts_.find(name_of(backend, login_name, credential));
  return found == accounts_.end() || found->second->closing() ? nullptr : found->second;
}

std::shared_ptr<SharedAccount> SharedAccounts::get(std::shared_ptr<Account> places,
                                                   std::shared_ptr<backend::BackendServers> servers,
                                                   const std::string& login_name,
                                                   const auth::CredentialCache::Digest& credential) {
  const auto name = name_of(servers->config(), login_name, credential);
  // One that is closing comes to its end by itself.
  if (const auto found = accounts_.find(name); found != accounts_.end() && !found->second->closing())
    return found->second;
  auto account = std::make_shared<SharedAccount>(workplace_, std::move(places), std::move(servers),
                                                 login_name, SharedAccount::Kind::kShared);
  begin(name, account);
  return account;
}

std::shared_ptr<SharedAccount> SharedAccounts::make_private(std::shared_ptr<backend::BackendServers> servers,
                                                            const std::string& login_name) {
  auto places = std::make_shared<Account>(servers->config().name, login_name);
  auto account = std::make_shared<SharedAccount>(workplace_, std::move(places), std::move(servers),
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

Task<> SharedAccounts::close_all() {
  for (const auto& [name, account] : accounts_) account->close();
  co_await lives_.join();
}

}  // namespace imapmux::mailbox
