// What an account looks like at one moment, as plain values: for the admin endpoint. Made on the account's
// thread (SharedAccount::status()), then anybody's.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "mailbox/lease.h"

namespace imapmux::mailbox {

// What an established connection to a backend does. Those that are being opened or closed are neither here
// nor there.
enum class ConnectionState : uint8_t {
  kFree,      // nobody's turn
  kBusy,      // somebody's
  kIdling,    // IDLE, which gives way at once
  kRelaying,  // unrestricted: one session's
};
constexpr size_t kConnectionStates = 4;
std::string_view name_of(ConnectionState state);

struct ConnectionStatus {
  std::string server;
  ConnectionState state = ConnectionState::kFree;
  std::string mailbox;  // that is open on it, empty if none
  size_t waiting = 0;   // parties, for their turn
  base::Millis age{};
};

struct MailboxStatus {
  std::string name;
  HolderId holder = 0;  // of its lease, as the arbiter knows it
  bool attached = false;
  bool for_writing = false;
  bool attaching = false;  // it waits for its lease or a connection, or is being read
  uint32_t messages = 0;
  size_t clients = 0;
  size_t idling = 0;  // of these, in IDLE
  size_t ghosts = 0;  // of all its clients
};

struct AccountStatus {
  std::string backend;
  std::string login_name;
  bool is_private = false;  // one session's (exclusive)
  bool anybody_waits = false;
  size_t sessions = 0;
  uint32_t most_connections = 0;  // 0: no limit
  std::vector<ConnectionStatus> connections;
  std::vector<MailboxStatus> mailboxes;
};

// Sums over many accounts, where each single one would be too much.
struct AccountTotals {
  struct Connections {
    std::array<uint64_t, kConnectionStates> in{};
    uint64_t& operator[](ConnectionState state) { return in[static_cast<size_t>(state)]; }
  };
  using Key = std::pair<std::string, std::string>;  // backend, server
  std::map<Key, Connections> connections;
  std::map<std::string, uint64_t> sessions;  // by backend
  uint64_t accounts = 0;
  uint64_t mailboxes_attached = 0;
  uint64_t mailboxes_suspended = 0;
  uint64_t ghosts = 0;
  void add(const AccountTotals& other);
};

}  // namespace imapmux::mailbox
