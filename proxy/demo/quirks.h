// How the legacy server misbehaves, and the count of what a client did that a real one would have punished.
//
// Quirks are a value: fixed when a LegacyServer is made. Violations belong to the LegacyServer and live as
// long as it; counters may be read from any thread, texts() takes a mutex of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace imapmux::demo {

// What a SELECT (or EXAMINE) of a mailbox gets that another session has selected.
enum class SecondSession : uint8_t {
  kAllowed,      // both work, in step
  kRefused,      // the second one gets NO [INUSE]
  kSeversFirst,  // the first one gets "* BYE Killed (lost mailbox lock)" and is closed (UW imapd, mbox)
  kReadOnly,     // the second one gets OK [READ-ONLY]
};

// What STATUS of a mailbox does that some session, the asking one included, has selected.
enum class StatusOfSelected : uint8_t {
  kFine,
  kKillsSession,  // the session that has it selected is severed
  kStaleNumbers,  // the numbers of the moment when it was selected (Courier)
};

struct Quirks {
  SecondSession second_session = SecondSession::kSeversFirst;
  bool examine_counts =
      true;  // EXAMINE is a session in the mailbox like SELECT, as the first and as the second one
  StatusOfSelected status_of_selected = StatusOfSelected::kFine;

  unsigned max_connections_per_user = 0;  // 0: no limit; at the limit a login gets NO
  unsigned max_connections_per_address =
      0;  // 0: no limit; at the limit a connection gets BYE instead of a greeting

  bool has_unselect = true;
  bool has_idle = true;
  bool idle_pushes = true;  // false: IDLE is accepted, and changes are told behind DONE only
  bool has_literal_plus = true;
  bool has_uidplus = true;
  bool has_move = true;
  bool has_namespace = true;

  std::chrono::milliseconds latency{0};  // by how much the net glue delays every answer; the core ignores it
};

// What clients did that a real server with one session per mailbox would have punished. Counted under every
// setting of Quirks, so also where nothing is punished.
struct Violations {
  std::atomic<uint64_t> second_select = 0;   // SELECT of a mailbox that another session has
  std::atomic<uint64_t> second_examine = 0;  // EXAMINE of it (with Quirks::examine_counts)
  std::atomic<uint64_t> status_of_selected_by_other = 0;
  std::atomic<uint64_t> status_of_own = 0;
  std::atomic<uint64_t> append_or_copy_to_selected_by_other = 0;  // APPEND, COPY, MOVE
  std::atomic<uint64_t> delete_or_rename_of_selected = 0;         // by another session
  std::atomic<uint64_t> over_user_limit = 0;
  std::atomic<uint64_t> over_address_limit = 0;

  static constexpr size_t kMaxTexts = 100;

  uint64_t total() const;
  // Counts, and keeps `text` while there are fewer than kMaxTexts.
  void record(std::atomic<uint64_t>& counter, std::string text);
  std::vector<std::string> texts() const;
  void reset();

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> texts_;
};

}  // namespace imapmux::demo
