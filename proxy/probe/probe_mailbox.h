// The mailbox that a probe works in: created by it, filled, deleted by it. INBOX and all others are left
// alone.
//
// One per probe, for its whole life. It knows which names it may have to delete, whatever happened since.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "probe/session.h"

namespace imapmux::probe {

// Where mailboxes may be created, and which are not the user's own.
struct Namespaces {
  std::string personal;             // prefix: "INBOX." on Courier
  char delimiter = 0;               // 0: none
  std::vector<std::string> shared;  // prefixes that all users have in common
};
// Of the response's arguments; `found` is left as it is where that is malformed.
void read_namespaces(std::string_view arguments, Namespaces& found);

// "imapmux-probe-" and sixteen hexadecimal digits: the second it is from, and chance.
std::string make_name(int64_t now);
// Whether `name` (of the last level) was made by make_name(), so long ago that nobody works in it any more.
bool is_left_over(std::string_view name, int64_t now);

class ProbeMailbox {
 public:
  static constexpr uint32_t kMessages = 4;

  // Learns the namespaces, and deletes what earlier probes that were killed have left behind; `notes` is told
  // of it.
  async::Task<> explore(Session& session, std::vector<std::string>& notes);
  // Empty if it was created; else what the server says to that.
  async::Task<std::string> create(Session& session);
  // kMessages new messages, and nothing else; nobody may have it open. Empty, or what went wrong.
  async::Task<std::string> refill(Session& session);
  async::Task<Answer> append(Session& session);
  // Empty, or what the server says. Whether it was created is not asked: a probe may end in the middle.
  async::Task<std::string> remove(Session& session);

  const std::string& name() const { return name_; }
  const Namespaces& namespaces() const { return namespaces_; }
  // What stands in the message with this number since refill(), and in no other one.
  const std::string& token(uint32_t number) const { return tokens_.at(number - 1); }
  // What remove() still has to delete; empty: nothing.
  std::string may_exist() const { return may_exist_.empty() ? "" : may_exist_.back(); }

 private:
  async::Task<> remove_left_overs(Session& session, std::vector<std::string>& notes);
  async::Task<std::string> empty(Session& session);
  async::Task<std::string> fill(Session& session);
  async::Task<std::string> recreate(Session& session);

  Namespaces namespaces_;
  std::string name_;
  std::vector<std::string> may_exist_;  // a CREATE was sent, and not refused
  std::vector<std::string> tokens_;
  uint32_t messages_ = 0;  // ever appended
};

}  // namespace imapmux::probe
