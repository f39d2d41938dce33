// One mailbox as its backend shows it: the sequence of its messages by UID, with their flags. UIDs are the
// only identity that the proxy works with; the backend's sequence numbers exist here only, clients' in their
// MailboxView.
//
// Part of a SharedMailbox, on its thread. Pure: knows no connection. 12 octets a message.
//
// Messages whose UID the backend has not told yet are at the end; clients hear of a message when its UID and
// those of all before it are known. A change of flags gives the message the next value of one counter; who
// remembers the value up to which he was told (a view's mark) finds what he has not been told of.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mailbox/flag_set.h"
#include "wire/sequence_set.h"

namespace imapmux::mailbox {

class MessageTable {
 public:
  MessageTable();

  // What the backend has, and how many from the first on have known UIDs.
  uint32_t exists() const { return static_cast<uint32_t>(uids_.size()); }
  uint32_t known() const { return known_; }
  bool complete() const { return known_ == exists(); }
  // Of the message with this number, 1 to exists(); 0 if it is not known yet.
  uint32_t uid(uint32_t number) const { return uids_[number - 1]; }
  // The number of a known message; 0: there is none.
  uint32_t number_of(uint32_t uid) const;
  // The number of the first known message with this UID or a larger one; known() + 1 if there is none.
  uint32_t first_from(uint32_t uid) const;
  // The same with a larger UID.
  uint32_t first_behind(uint32_t uid) const;
  // `uids` as a set whose ends are UIDs of known messages (or "*"), of the same known messages. GNU imap4d
  // answers BAD to sets that begin or end with a UID that is gone, or takes another message for it.
  wire::SequenceSet present(const wire::SequenceSet& uids) const;
  // The largest UID known, 0 if there is none.
  uint32_t last_uid() const { return known_ ? uids_[known_ - 1] : 0; }

  // What the backend says. False: it contradicts what it said before, and nothing was changed.
  bool grow_to(uint32_t exists);
  bool expunge(uint32_t number);
  bool learn_uid(uint32_t number, uint32_t uid);
  // `list` is a flag list in parentheses. False if it is none.
  bool learn_flags(uint32_t number, std::string_view list);
  // What a STORE did that has no echo: nobody need be told.
  void assume_flags(uint32_t number, wire::FlagOperation operation, const FlagSet& flags);

  bool knows_flags(uint32_t number) const { return flags_[number - 1] != 0; }
  const FlagSet& flags(uint32_t number) const { return sets_[flags_[number - 1]].set; }
  // As it is written in a FETCH response.
  const std::string& flags_text(uint32_t number) const { return sets_[flags_[number - 1]].text; }
  // The first message whose flags are not known; 0 if there is none. Asked again and again, it starts where
  // it ended.
  uint32_t first_without_flags();

  // The counter of changes.
  uint32_t changes() const { return changes_; }
  bool changed_after(uint32_t number, uint32_t mark) const { return changed_[number - 1] > effective(mark); }
  uint32_t change_of(uint32_t number) const { return changed_[number - 1]; }
  // Numbers of the known messages whose flags changed after `mark`, in no order, each once.
  void changed_since(uint32_t mark, std::vector<uint32_t>& numbers) const;

 private:
  struct Interned {
    FlagSet set;
    std::string text;
    uint32_t plain;  // the entry that differs by \Recent only; itself if it has none
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  uint32_t intern(const FlagSet& set);
  uint32_t intern(std::string_view list);  // 0: no flag list
  void set_flags(uint32_t number, uint32_t flags);
  void count_change(uint32_t number);
  bool advance();
  // Marks from before the counter began anew.
  uint32_t effective(uint32_t mark) const { return mark > changes_ ? 0 : mark; }
  void forget_unused_sets();

  std::vector<uint32_t> uids_;   // ascending as far as they are known; 0 for unknown ones
  std::vector<uint32_t> flags_;  // index of sets_; 0: unknown
  std::vector<uint32_t> changed_;
  uint32_t known_ = 0;
  uint32_t flags_known_ = 0;  // all before have flags
  uint32_t changes_ = 0;
  std::deque<uint32_t> log_;  // UIDs of the last changes, the newest at the end
  std::vector<Interned> sets_;
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> by_text_;  // as backends write them
};

}  // namespace imapmux::mailbox
