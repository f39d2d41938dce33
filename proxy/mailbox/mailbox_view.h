// What one client has been told of its mailbox, and so what its sequence numbers mean (RFC 3501, 2.3.1.2).
//
// Ghosts are messages that the backend has expunged and this client has not been told of: they keep their
// numbers. Part of a client's session while it has a mailbox open, on its thread. Pure. Apart from its ghosts
// it has the size of a few numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "mailbox/message_table.h"
#include "wire/sequence_set.h"

namespace imapmux::mailbox {

class MailboxView {
 public:
  // How many messages the client knows of: the last EXISTS, less what it was told to be gone.
  uint32_t count() const { return count_; }
  bool has_ghosts() const { return !ghosts_.empty(); }
  size_t ghosts() const { return ghosts_.size(); }

  // The client's number of the backend's message `number`; above count() if it has not been told of it yet.
  uint32_t to_view(uint32_t number) const;
  // The backend's number; 0 for a ghost.
  uint32_t to_table(uint32_t number) const;

  // The backend expunged its message `number`. Once for every message, in the backend's order.
  void on_expunge(uint32_t number);

  // What a client's sequence set stands for, which it wrote when it knew of `told` messages.
  struct Messages {
    bool invalid = false;    // a number above `told`, or anything at all where that is 0: BAD
    bool ghosts = false;     // some are gone
    wire::SequenceSet uids;  // of those that are left
  };
  Messages messages(const wire::SequenceSet& numbers, const MessageTable& table, uint32_t told) const;
  bool any_ghost(const wire::SequenceSet& numbers, uint32_t told) const;

  // Telling, in this order (RFC 3501, 7.4.1). The numbers to say EXPUNGE with, one after the other;
  // afterwards there are no ghosts.
  void tell_expunged(std::vector<uint32_t>& numbers);
  // The number for EXISTS, when `known` messages of the table may be shown; 0: nothing new.
  uint32_t tell_exists(uint32_t known);

  // The table's counter of changes up to which the client has been told of flags.
  uint32_t mark() const { return mark_; }
  void told_flags(uint32_t changes) { mark_ = changes; }

 private:
  uint32_t ghosts_before(uint32_t number) const;  // with smaller numbers

  uint32_t count_ = 0;
  uint32_t mark_ = 0;
  std::vector<uint32_t> ghosts_;  // ascending
};

}  // namespace imapmux::mailbox
