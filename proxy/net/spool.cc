#include "net/spool.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <system_error>

namespace imapmux::net {

namespace {

// Asking the disk to take back less than this is not worth the call.
constexpr uint64_t kDropStep = uint64_t{1} << 20;

[[noreturn]] void fail(const SpoolLimits& limits, const std::error_code& error) {
  const std::string text = "a file in " + limits.directory() + ": " + error.message();
  const bool full = error.value() == ENOSPC || error.value() == EDQUOT || error.value() == EFBIG;
  if (full) throw SpoolFull(text);
  throw SpoolError(text);
}

}  // namespace

Spool::Spool(SpoolLimits& limits, size_t memory, Taken taken)
    : most_in_memory_(memory), taken_(taken), share_(limits) {}

void Spool::append(std::string_view octets) {
  const SpoolLimits& limits = share_.limits();
  if (!share_.take(octets.size())) {
    throw SpoolFull("max_spool (" + std::to_string(limits.most()) + " octets) is reached");
  }
  try {
    store(octets);
  } catch (const std::system_error& error) {
    share_.give_back(octets.size());
    fail(limits, error.code());
  }
  total_ += octets.size();
}

void Spool::store(std::string_view octets) {
  if (file_end_ == 0 && memory_.size() + octets.size() <= most_in_memory_) {
    memory_ += octets;
    return;
  }
  if (!file_.is_open()) file_ = UnlinkedFile(share_.limits().directory());
  file_.write(file_end_, octets);
  file_end_ += octets.size();
}

std::string_view Spool::front() {
  if (memory_taken_ < memory_.size()) return std::string_view(memory_).substr(memory_taken_, kPiece);
  if (piece_.empty() && file_taken_ < file_end_) {
    std::string piece(std::min<uint64_t>(file_end_ - file_taken_, kPiece), '\0');
    try {
      file_.read(file_taken_, piece.data(), piece.size());
    } catch (const std::system_error& error) {
      fail(share_.limits(), error.code());
    }
    piece_ = std::move(piece);
  }
  return std::string_view(piece_).substr(piece_taken_);
}

void Spool::pop(size_t octets) {
  if (memory_taken_ < memory_.size()) {
    assert(octets <= memory_.size() - memory_taken_);
    memory_taken_ += octets;
    if (taken_ == Taken::kDropped) {
      share_.give_back(octets);
      drop_memory();
    }
    return;
  }
  assert(octets <= piece_.size() - piece_taken_);
  piece_taken_ += octets;
  file_taken_ += octets;
  if (piece_taken_ == piece_.size()) drop_piece();
  if (taken_ == Taken::kDropped) drop_file();
}

// Moves what is left into an allocation of its size, as soon as that is the smaller part: each octet is moved
// at most once on average.
void Spool::drop_memory() {
  if (memory_taken_ < memory_.size() - memory_taken_) return;
  std::string(memory_, memory_taken_).swap(memory_);
  memory_taken_ = 0;
}

void Spool::drop_piece() {
  std::string().swap(piece_);  // an assignment would keep the allocation
  piece_taken_ = 0;
}

void Spool::drop_file() {
  if (file_taken_ == file_end_) {
    share_.give_back(file_end_ - file_dropped_);
    file_.close();
    file_end_ = file_taken_ = file_dropped_ = 0;
  }
  while (file_taken_ - file_dropped_ >= kDropStep && file_.punch(file_dropped_, kDropStep)) {
    share_.give_back(kDropStep);
    file_dropped_ += kDropStep;
  }
}

void Spool::rewind() {
  assert(taken_ == Taken::kKept);
  memory_taken_ = 0;
  file_taken_ = 0;
  drop_piece();
}

}  // namespace imapmux::net
