// What a simulated client does next: random commands that make sense for what it knows, and now and then some
// that do not. One per connection of a client.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "simulation/command.h"
#include "simulation/picture.h"
#include "simulation/random.h"
#include "simulation/rules.h"

namespace imapmux::simulation {

// What the client has read so far.
struct Knowledge {
  bool selected = false;
  bool read_only = false;
  std::string mailbox;
  Picture picture;
  // Commands are in flight that EXPUNGE may come with: numbers have no certain meaning (RFC 3501, 5.5).
  bool expunge_may_come = false;
  bool has_uidplus = false;
  bool has_move = false;
};

// What all scripts of a run go by.
struct Habits {
  Rules rules;
  std::vector<std::string> mailboxes;         // the first one is where most happens
  std::function<std::string()> new_token;     // for APPEND
  std::function<uint32_t(uint32_t)> padding;  // octets of filling for a new mail
  uint32_t leaving = 3;                       // how readily a mailbox is left, in percent of the commands
};

class Script {
 public:
  Script(Random& random, const Habits& habits) : random_(random), habits_(habits) {}

  // Some commands for one packet. Only the last one may change what follows (see is_barrier()), or have
  // parts.
  std::vector<CommandPtr> packet(const Knowledge& known);
  // What fits behind DONE in one packet, or nothing.
  CommandPtr behind_done(const Knowledge& known);
  CommandPtr login(const std::string& user, const std::string& password);
  CommandPtr search_all();
  CommandPtr plain(wire::Verb verb);  // NOOP, LOGOUT…: without arguments

  // Nothing is sent behind it before it is answered.
  static bool is_barrier(const Command& command);

 private:
  CommandPtr any(const Knowledge& known);
  CommandPtr in_mailbox(const Knowledge& known);
  CommandPtr without_mailbox();
  CommandPtr learn(const Knowledge& known);
  CommandPtr open();
  CommandPtr fetch(const Knowledge& known, bool uid);
  CommandPtr store(const Knowledge& known, bool uid);
  CommandPtr search(const Knowledge& known, bool uid);
  CommandPtr copy(const Knowledge& known, bool uid, bool move);
  CommandPtr uid_expunge(const Knowledge& known);
  CommandPtr status();
  CommandPtr append();
  CommandPtr malformed();

  std::string next_tag();
  // A command with a set of messages, and the rest of its line.
  Command with_set(wire::Verb verb, std::string set);
  CommandPtr finish(Command command, const std::string& text);
  std::string numbers(uint32_t exists);
  std::string uids(const Picture& picture);
  std::string set_of(const Knowledge& known, bool uid);
  std::string known_set(const Knowledge& known, bool uid);
  std::string key(const Knowledge& known, int depth);
  // As a quoted string or a literal.
  std::string text_value(const std::string& value);
  demo::Flags some_flags();
  const std::string& some_mailbox();

  Random& random_;
  const Habits& habits_;
  uint32_t tags_ = 0;
};

}  // namespace imapmux::simulation
