// What one session sees of the mailbox it has selected: its own numbering, its own idea of the flags.
//
// Owned by the LegacySession, from SELECT to whatever ends it, on the server's thread. A message that someone
// else expunged stays, and can be fetched, until sync() may say EXPUNGE (RFC 2180, 4.1.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "demo/store.h"
#include "wire/sequence_set.h"

namespace imapmux::demo {

class SelectedMailbox {
 public:
  struct Entry {
    Message message;
    bool recent = false;
  };

  // `examined`: opened by EXAMINE; `read_only` also if a SELECT got no more than that.
  SelectedMailbox(MailStore& store, MailboxId mailbox, bool read_only, bool examined);

  MailboxId id() const { return id_; }
  bool read_only() const { return read_only_; }
  bool examined() const { return examined_; }
  const MailboxNumbers& numbers_at_select() const { return numbers_at_select_; }
  std::vector<Entry>& entries() { return entries_; }
  uint32_t last_uid() const { return entries_.empty() ? 0 : entries_.back().message.uid; }

  // The untagged responses of SELECT.
  void write_select(std::string& out);
  // Takes over what changed in the store, and tells it: flags and new messages always, EXPUNGE if that is
  // allowed now.
  void sync(std::string& out, bool may_expunge);
  // "* n FETCH (FLAGS ...)" of the entry as it is, with its UID behind a UID command.
  void write_flags_response(std::string& out, size_t index, bool with_uid) const;
  // Indices in ascending order. UIDs that aren't there are left out; a sequence number that isn't is an
  // error.
  std::optional<std::vector<size_t>> resolve(const wire::SequenceSet& set, bool uid) const;

 private:
  void remove_expunged(std::string& out, const std::vector<Message>& now, bool may_expunge);
  void add_new(std::string& out, const MailboxSnapshot& now);
  void write_flag_names(std::string& out) const;
  void write_counts(std::string& out) const;
  // True if one of the flags is a keyword that FLAGS did not list yet.
  bool learn_keywords(const Flags& flags);

  MailStore& store_;
  const MailboxId id_;
  const bool read_only_;
  const bool examined_;
  MailboxNumbers numbers_at_select_;
  std::vector<Entry> entries_;
  Flags keywords_;
  uint32_t uid_next_ = 1;    // messages below it are in entries_ or were
  uint64_t revision_ = 0;    // of the store, that entries_ reflects
  bool has_ghosts_ = false;  // entries_ still has messages that are gone
};

}  // namespace imapmux::demo
