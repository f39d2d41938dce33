// How a worker gives its accounts to another process that takes over, one by one: the clients finish what
// they have begun and get BYE, the backend connections are logged out, the leases given back. Owned by its
// worker, on its thread.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "async/task_scope.h"
#include "mailbox/account_set.h"
#include "session/service.h"
#include "session/session.h"

namespace imapmux::app {

class HandingOn {
 public:
  using Sessions = base::IntrusiveList<session::Session>;
  HandingOn(session::Host& host, Sessions& sessions)
      : host_(host), sessions_(sessions), tasks_(host.scheduler()) {}

  // Logins of these accounts are the other process's to decide.
  bool has_given_up(std::string_view backend, std::string_view login_name) const;
  // `grace`: for what the clients have begun. `done` is called when nothing of them is left.
  void give_up(mailbox::AccountSet accounts, base::Millis grace, std::function<void()> done);
  // All of them within `time`, evenly, so that not all clients come back at once.
  void give_up_all(base::Millis time, base::Millis grace);
  // The other process has gone: the accounts are this one's again.
  void take_back();
  // Ends what is under way, for the end of the worker.
  async::Task<> stop();

 private:
  struct Gift {
    base::Instant deadline;
    std::vector<std::function<void()>> done;
    bool is_left = true;  // something of it
    bool is_cut_off = false;
  };
  async::Task<> work(uint64_t turn);
  async::Task<> give_up_evenly(base::Millis time, base::Millis grace, uint64_t turn);
  void press_sessions(base::Instant now);
  void press_accounts(base::Instant now);
  void finish_gifts();
  template <class F>
  void for_each_gift(const std::string& backend, const std::string& login_name, F f);

  session::Host& host_;
  Sessions& sessions_;
  std::set<mailbox::AccountSet> given_up_;
  std::map<mailbox::AccountSet, Gift> under_way_;
  uint64_t turn_ = 0;  // ends when the accounts are taken back
  bool working_ = false;
  async::TaskScope tasks_;
};

}  // namespace imapmux::app
