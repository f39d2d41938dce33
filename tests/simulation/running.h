// What an audit keeps of a client's connection: the mailbox that is open, the commands that are not answered
// yet.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "simulation/command.h"
#include "simulation/mail_history.h"
#include "simulation/picture.h"
#include "wire/response_parser.h"

namespace imapmux::simulation {

// From SELECT to whatever ends it.
struct OpenMailbox {
  const MailboxHistory* history = nullptr;
  bool read_only = false;
  Picture picture;
  Moment opened;  // the SELECT was delivered
  // The backend has told the proxy of all that happened before.
  Moment fresh;
  // from the answer to SELECT
  bool exists_told = false;
  uint32_t recent = 0;
  uint32_t uid_validity = 0;
  uint32_t uid_next = 0;
};

struct Reply {
  wire::ResponseName status = wire::ResponseName::kOk;
  std::string code;  // upper case
  std::string code_arguments;
  std::string text;
  bool ok() const { return status == wire::ResponseName::kOk; }
  bool no() const { return status == wire::ResponseName::kNo; }
  bool bad() const { return status == wire::ResponseName::kBad; }
};

struct Running {
  // A message as the command meant it when it was delivered.
  struct Addressed {
    uint64_t id;
    uint32_t uid;  // 0: the client does not know it
  };

  CommandPtr command;
  uint64_t begins = 0;              // so many octets of the connection make it known to the proxy
  uint64_t starts = 0;              // its first octet, of the connection
  std::vector<uint64_t> part_ends;  // of the parts sent so far: octets of the connection
  size_t go_aheads = 0;
  std::optional<Moment> delivered;  // with its last octet
  std::optional<Moment> done;       // IDLE's DONE was sent
  uint64_t done_end = 0;

  // when it was delivered
  bool attached = false;  // the backend could be asked
  uint32_t exists = 0;
  std::vector<uint64_t> known;  // SEARCH: all messages, in the order of their numbers
  uint32_t highest = 0;         // of the numbers that it names
  std::vector<Addressed> addressed;
  uint32_t last_uid = 0;       // the largest that the client knows
  uint32_t first_new_uid = 0;  // the mailbox's UIDNEXT

  // since
  std::set<uint64_t> answered;  // messages that it was answered for
  std::set<uint64_t> told;      // flags told while it was the oldest one
  std::optional<std::vector<uint32_t>> found;
  std::optional<std::string> status;  // STATUS's list

  bool is_delivered() const { return delivered.has_value(); }
  bool beyond(uint32_t there) const { return highest > there; }
  // The proxy knows of it, and may say something because of it.
  bool begun_at_proxy(uint64_t octets) const { return begins <= octets; }
};

}  // namespace imapmux::simulation
