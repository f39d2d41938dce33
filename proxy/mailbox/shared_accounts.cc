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
  auto& entry = accounts_[name];
  // One that is closing comes to its end by itself.
  if (entry && !entry->closing()) return entry;
  entry = std::make_shared<SharedAccount>(workplace_, std::move(places), std::move(servers), login_name);
  lives_.spawn(live(name, entry));
  return entry;
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
