// A process that another one may take over from: waits for it on takeover.socket, gives it the sockets, then
// the accounts, then ends. takeover_channel.h says how they talk. Owned by serve(), on a thread of its own;
// ends behind the server, whose public functions for this it calls.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "app/takeover_channel.h"
#include "mailbox/account_set.h"

namespace imapmux::app {

class Server;

class TakeoverDonor {
 public:
  // `socket` listens.
  TakeoverDonor(Server& server, base::Descriptor socket);
  // When the server has ended; tells the other process if there is one.
  ~TakeoverDonor();
  TakeoverDonor(const TakeoverDonor&) = delete;
  TakeoverDonor& operator=(const TakeoverDonor&) = delete;

  // Everything is another process's: it is not this one that ends.
  bool has_given() const { return given_; }

 private:
  void run();
  void meet(base::Descriptor socket);
  bool greet(TakeoverChannel& channel);
  void offer(TakeoverChannel& channel);
  TakeoverMessage wait_for_ready(TakeoverChannel& channel);
  void give(TakeoverChannel& channel, const TakeoverMessage& ready);
  void forget_what_was_told();
  void drain(TakeoverChannel& channel);
  void go_on(TakeoverChannel& channel);
  void give_up(const mailbox::AccountSet& accounts);
  void tell_given(TakeoverChannel& channel);
  void tell_connections(TakeoverChannel& channel);

  Server& server_;
  base::Descriptor socket_;
  base::Descriptor end_;  // readable when the server has ended
  std::atomic<bool> given_ = false;
  std::atomic<bool> ended_ = false;  // the server
  std::mutex mutex_;
  std::vector<mailbox::AccountSet> given_up_;  // to be told; guarded by mutex_
  std::map<std::pair<std::string, std::string>, uint32_t> told_;
  std::thread thread_;
};

}  // namespace imapmux::app
