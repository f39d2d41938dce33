// What a client knows of the mailbox that it has open: only what it was told (EXISTS, EXPUNGE, FETCH),
// nothing from anywhere else. Pure; every function that is told something says what is wrong with it.
//
// There are two of each: the client's own, of what it has read, and the audit's, of what the proxy has
// written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "demo/store.h"
#include "simulation/moment.h"

namespace imapmux::simulation {

class Picture {
 public:
  using Problem = std::optional<std::string>;

  struct Message {
    uint64_t id = 0;   // the same as long as the message is known, whatever becomes of its number
    uint32_t uid = 0;  // 0: not told yet
    std::optional<demo::Flags> flags;  // told, or concluded from STORE .SILENT
    Moment flags_told;                 // not before this the mailbox had the flags that were told last
  };

  uint32_t exists() const { return static_cast<uint32_t>(messages_.size()); }
  std::vector<Message>& messages() { return messages_; }
  const std::vector<Message>& messages() const { return messages_; }
  Message& at(uint32_t number) { return messages_[number - 1]; }
  // 0 if it is not there.
  uint32_t number_of(uint64_t id) const;
  // The largest UID that is known; 0: none.
  uint32_t last_uid() const;
  bool knows_last_uid() const { return messages_.empty() || messages_.back().uid != 0; }

  Problem told_exists(uint32_t number);
  Problem told_recent(uint32_t number) const;
  Problem told_expunge(uint32_t number);
  Problem told_uid(uint32_t number, uint32_t uid);
  // FETCH, SEARCH: only numbers that it knows.
  Problem told_number(uint32_t number) const;

 private:
  std::vector<Message> messages_;
  uint64_t ids_ = 0;
};

}  // namespace imapmux::simulation
