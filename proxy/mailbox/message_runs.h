// Messages of a table that something was told of, by UID, kept as runs of neighbours: a whole mailbox is one
// run, whatever gaps its UIDs have. What is expunged later changes nothing.
//
// Pure. Belongs to whoever counts what the backend answers.
#pragma once

#include <cstdint>
#include <vector>

#include "mailbox/message_table.h"
#include "wire/sequence_set.h"

namespace imapmux::mailbox {

class MessageRuns {
 public:
  // A known message, once or more, in any order.
  void add(const MessageTable& table, uint32_t number);
  bool contains(uint32_t uid) const;
  bool empty() const { return runs_.empty(); }
  size_t size() const { return runs_.size(); }
  void clear() { runs_.clear(); }

 private:
  using Run = wire::SequenceSet::Range;
  std::vector<Run>::const_iterator first_behind(uint32_t uid) const;

  std::vector<Run> runs_;  // of UIDs, ascending
};

}  // namespace imapmux::mailbox
