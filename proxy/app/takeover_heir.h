// A process that takes over from the one that runs: gets its sockets, then its accounts. takeover_channel.h
// says how they talk. Made by serve() for the server, on the main thread; the server owns it, and ends it
// first. A thread of its own talks from claim() on.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "app/listening.h"
#include "app/takeover_channel.h"
#include "session/inheritance.h"

namespace imapmux::app {

// What a process gets from the one before it.
struct Inherited {
  std::vector<ListeningSockets> sockets;
  std::optional<base::Endpoint> admin_address;
  base::Descriptor admin;
  std::unique_ptr<session::Inheritance> accounts;
};

class TakeoverHeir {
 public:
  // How many connections the other process has to a server of a backend. From here on or its thread.
  using Connections = std::function<void(const std::string& backend, const std::string& server, uint32_t)>;

  // Nothing: nobody runs who could be taken over from. Throws std::runtime_error if it can't be.
  static std::unique_ptr<TakeoverHeir> connect(const std::string& path);
  ~TakeoverHeir();
  // Once, for the server; and the socket at which the next one may take over.
  Inherited inherited();
  base::Descriptor meeting_point() { return std::move(meeting_point_); }
  // Says that the server is ready to serve these; returns when the other process accepts nobody any more.
  // Throws std::runtime_error: it goes on as before. `connections` must outlive this.
  void claim(const std::vector<std::string>& sockets, session::Inheritance& accounts,
             Connections connections);

 private:
  explicit TakeoverHeir(TakeoverChannel channel);
  void greet();
  void collect();
  void claim(const std::vector<std::string>& sockets);
  void run();
  void talk();
  void note(const TakeoverMessage& message);
  void end_of_the_other();

  TakeoverChannel channel_;
  std::vector<ListeningSockets> sockets_;
  std::optional<base::Endpoint> admin_address_;
  base::Descriptor admin_;
  base::Descriptor meeting_point_;
  std::map<std::string, std::string> backends_;
  session::Inheritance* accounts_ = nullptr;
  Connections connections_;
  std::map<std::pair<std::string, std::string>, uint32_t> theirs_;
  std::chrono::steady_clock::time_point ends_by_;
  std::atomic<bool> done_ = false;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<mailbox::AccountSet> wanted_;  // to be asked for; guarded by mutex_
};

}  // namespace imapmux::app
