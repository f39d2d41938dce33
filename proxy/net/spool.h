// Octets that wait for somebody who is not ready for them: a message that is read from a client before a
// mailbox is asked for, an answer for a client that reads slowly. A row: appended at the end, read from the
// beginning. In memory while it is short; what does not fit there goes to an unlinked temporary file.
//
// Belongs to the session whose octets they are, on its thread; lives as long as they are wanted. No
// callbacks, no waiting for events: files are read and written by plain calls, which go to the page cache and
// block the loop only where the disk cannot keep up. Without a file it costs one allocation for what comes in
// one piece.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "net/spool_limits.h"
#include "net/unlinked_file.h"

namespace imapmux::net {

// The directory or the disk does not do what it should; says what is wrong.
class SpoolError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// There is no room: the limit of all spools, the disk, a quota, or the longest file allowed; says which.
class SpoolFull : public SpoolError {
 public:
  using SpoolError::SpoolError;
};

class Spool {
 public:
  static constexpr size_t kMemory = 256 * 1024;
  static constexpr size_t kPiece = 64 * 1024;
  // What becomes of octets that were read. Dropped: memory, disk and limits get them back at once (the disk
  // by the MiB). Kept: all stay until the spool ends, so that rewind() can begin anew.
  enum class Taken : uint8_t { kDropped, kKept };

  // `memory`: how many octets may wait there before a file is made.
  explicit Spool(SpoolLimits& limits, size_t memory = kMemory, Taken taken = Taken::kDropped);
  // One that was moved from may be destroyed or assigned to, nothing else.
  Spool(Spool&&) noexcept = default;
  Spool& operator=(Spool&&) noexcept = default;

  // All of `octets` or, when it throws, none of them: SpoolFull, or SpoolError (no file can be made, I/O
  // error). What was there before can still be read.
  void append(std::string_view octets);
  // The next octets, 64 KiB at most; empty when all have been taken. Valid until the next call to any
  // function that is not const. Throws SpoolError if the file cannot be read.
  std::string_view front();
  // Takes so many of front(), at most all of them.
  void pop(size_t octets);
  // Begins anew with the first octet. Only with Taken::kKept.
  void rewind();

  // How many wait to be taken, and how many were appended in all.
  uint64_t size() const { return memory_.size() - memory_taken_ + file_end_ - file_taken_; }
  uint64_t total() const { return total_; }

 private:
  void store(std::string_view octets);
  void drop_memory();
  void drop_piece();
  void drop_file();

  size_t most_in_memory_;
  Taken taken_;
  SpoolShare share_;
  uint64_t total_ = 0;

  // The row is what memory_ holds, then what the file holds; nothing goes to memory while the file is in use.
  std::string memory_;
  size_t memory_taken_ = 0;
  UnlinkedFile file_;
  uint64_t file_end_ = 0;
  uint64_t file_taken_ = 0;
  uint64_t file_dropped_ = 0;  // given back to the disk
  std::string piece_;          // read from the file; its rest is what comes at file_taken_
  size_t piece_taken_ = 0;
};

}  // namespace imapmux::net
