// Memory of coroutine frames. What a finished one leaves is for the next one of about its size: a worker runs
// the same few tasks over and over. A little per thread; the rest, and all when the thread ends, goes back to
// the allocator. Not with sanitizers, which would not see how a frame is used that is gone.
#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace imapmux::async {

class FrameMemory {
 public:
  static void* take(size_t size) {
    if (size > kLargest) return ::operator new(size);
    auto& [first, count] = mine_.lists_[list_of(size)];
    if (!first) return ::operator new(room_of(size));
    Spare* frame = first;
    first = frame->next;
    --count;
    return frame;
  }
  static void give(void* frame, size_t size) noexcept {
    if (size > kLargest) {
      ::operator delete(frame);
      return;
    }
    auto& [first, count] = mine_.lists_[list_of(size)];
    if (count >= mine_.most_) {
      ::operator delete(frame);
      return;
    }
    first = new (frame) Spare{first};
    ++count;
  }

  ~FrameMemory() {
    most_ = 0;  // for frames that other thread_locals still hold
    for (auto& [first, count] : lists_) {
      while (Spare* frame = first) {
        first = frame->next;
        ::operator delete(frame);
      }
    }
  }

 private:
  struct Spare {
    Spare* next;
  };
  struct List {
    Spare* first = nullptr;
    size_t count = 0;
  };
  static constexpr size_t kStep = 64;
  static constexpr size_t kLargest = 1024;
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
  static constexpr size_t kMost = 0;
#else
  static constexpr size_t kMost = 8;  // of each size
#endif

  static constexpr size_t list_of(size_t size) { return (size - 1) / kStep; }
  static constexpr size_t room_of(size_t size) { return (list_of(size) + 1) * kStep; }

  constexpr FrameMemory() = default;

  std::array<List, kLargest / kStep> lists_{};
  size_t most_ = kMost;
  static thread_local constinit FrameMemory mine_;
};

inline thread_local constinit FrameMemory FrameMemory::mine_;

}  // namespace imapmux::async
