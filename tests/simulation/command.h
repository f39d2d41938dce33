// One command of a simulated client: what it sends, and what it means by it. Made by the Script, sent by the
// client, held against the answers by the audit. A value that does not change.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "demo/store.h"
#include "wire/command_table.h"
#include "wire/sequence_set.h"

namespace imapmux::simulation {

struct Command {
  std::string tag;
  wire::Verb verb = wire::Verb::kUnknown;
  // As it is sent; behind each part but the last the client waits for "+". IDLE's DONE is no part of it.
  std::vector<std::string> parts;
  bool malformed = false;  // must get BAD

  // FETCH, STORE, COPY, MOVE, UID EXPUNGE
  wire::SequenceSet set;
  // FETCH: the items that each message's answer has, by name; one that is read in full sets \Seen
  std::vector<std::string> items;
  bool sets_seen = false;
  // STORE
  demo::StoreMode mode = demo::StoreMode::kReplace;
  demo::Flags flags;  // also APPEND's
  bool silent = false;
  // SEARCH: the keys as they stand
  std::string keys;
  // SELECT, EXAMINE, STATUS, APPEND; the target of COPY and MOVE
  std::string mailbox;
  std::string token;  // APPEND

  const wire::CommandInfo& info() const { return wire::info(verb); }
  bool is(std::initializer_list<wire::Verb> verbs) const;
  // `set` is of UIDs.
  bool by_uid() const;
  // Its numbers mean something only as long as no EXPUNGE comes (RFC 3501, 5.5 and 7.4.1).
  bool by_number() const;
};
using CommandPtr = std::shared_ptr<const Command>;

}  // namespace imapmux::simulation
