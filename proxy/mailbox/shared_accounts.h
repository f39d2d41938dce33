// What the sessions of one worker share, `shared` and `exclusive`. Owned by the worker, on its thread;
// outlives its sessions. Logs all of them out before it goes: close_all().
#pragma once

#include <map>
#include <memory>
#include <string>

#include "mailbox/shared_account.h"

namespace imapmux::mailbox {

class SharedAccounts {
 public:
  explicit SharedAccounts(Workplace& workplace)
      : workplace_(workplace), lives_(workplace.scheduler()), making_room_(workplace.scheduler()) {}
  ~SharedAccounts();
  SharedAccounts(const SharedAccounts&) = delete;
  SharedAccounts& operator=(const SharedAccounts&) = delete;

  // The account of a login name; with `share_credentials: identical` of this credential only. Null: nobody of
  // it is here.
  std::shared_ptr<SharedAccount> find(const backend::BackendServers& servers, const std::string& login_name,
                                      const auth::CredentialCache::Digest& credential) const;
  // The same, made if it is not there.
  std::shared_ptr<SharedAccount> get(std::shared_ptr<Account> places,
                                     std::shared_ptr<backend::BackendServers> servers,
                                     const std::string& login_name,
                                     const auth::CredentialCache::Digest& credential);
  // One that is shared with nobody: find() does not know it. A session joins it at once.
  std::shared_ptr<SharedAccount> make_private(std::shared_ptr<backend::BackendServers> servers,
                                              const std::string& login_name);
  // A place of the user is wanted for a credential that has no account yet (`share_credentials: identical`):
  // accounts of his other ones that nobody uses close now, not after `account_linger`.
  void close_unused(const Account& places);
  // The settings of a reload, for all that are here and all that come, also by a client who was here before.
  // The accounts of a backend that is gone end with their sessions.
  void use(const backend::Backends& backends);
  // A connection was opened: it may be wanted for others (max_connections).
  void opened(const std::shared_ptr<backend::ConnectionLimit>& limit);
  // The connection idle longest is closed, if somebody waits for one.
  void make_room(const std::shared_ptr<backend::ConnectionLimit>& limit);
  // Logs out everywhere; for when no session is left.
  async::Task<> close_all();
  template <class F>
  void for_each(F f) const {
    for (const auto& [name, account] : accounts_) f(*account);
  }

 private:
  static std::string name_of(const backend::BackendServers& servers, const std::string& login_name,
                             const auth::CredentialCache::Digest& credential);
  std::shared_ptr<backend::BackendServers> latest(std::shared_ptr<backend::BackendServers> servers) const;
  std::shared_ptr<backend::BackendServers> latest_of(const backend::BackendServers& servers) const;
  void begin(std::string name, std::shared_ptr<SharedAccount> account);
  async::Task<> live(std::string name, std::shared_ptr<SharedAccount> account);
  async::Task<> keep_making_room(std::shared_ptr<backend::ConnectionLimit> limit);
  bool close_one(const std::shared_ptr<backend::ConnectionLimit>& limit, SharedAccount::Spare kind);

  Workplace& workplace_;
  std::map<std::string, std::shared_ptr<SharedAccount>> accounts_;
  uint64_t private_ones_ = 0;  // so far
  backend::Backends latest_;   // of the last reload
  async::TaskScope lives_;
  std::map<std::shared_ptr<backend::ConnectionLimit>, bool> limits_;  // and whether room is being made
  async::TaskScope making_room_;
};

}  // namespace imapmux::mailbox
