// Frames live at the same time, each with octets of its own.
#include "async/frame_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace imapmux::async {
namespace {

struct Frame {
  unsigned char* octets;
  size_t size;
  unsigned char mark;

  bool intact() const {
    for (size_t i = 0; i < size; ++i)
      if (octets[i] != mark) return false;
    return true;
  }
};

void use_many(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Frame> frames;
  for (int i = 0; i < 20'000; ++i) {
    if (frames.size() < 50 && random() % 2 == 0) {
      const size_t size = 1 + random() % 1500;
      Frame frame{static_cast<unsigned char*>(FrameMemory::take(size)), size, static_cast<unsigned char>(i)};
      std::memset(frame.octets, frame.mark, size);
      frames.push_back(frame);
    } else if (!frames.empty()) {
      const size_t which = random() % frames.size();
      ASSERT_TRUE(frames[which].intact());
      FrameMemory::give(frames[which].octets, frames[which].size);
      frames[which] = frames.back();
      frames.pop_back();
    }
  }
  for (const auto& frame : frames) {
    ASSERT_TRUE(frame.intact());
    FrameMemory::give(frame.octets, frame.size);
  }
}

TEST(FrameMemory, FramesDoNotOverlap) {
  use_many(1);
  std::thread other([] { use_many(2); });
  use_many(3);
  other.join();
}

#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)  // they get every frame anew
TEST(FrameMemory, TheLastOneIsUsedAgain) {
  void* first = FrameMemory::take(200);
  FrameMemory::give(first, 200);
  void* second = FrameMemory::take(230);  // as much room
  EXPECT_EQ(first, second);
  FrameMemory::give(second, 230);
}
#endif

// A frame may be given back on another thread than it was taken on.
TEST(FrameMemory, GoesFromThreadToThread) {
  std::vector<void*> frames;
  for (int i = 0; i < 100; ++i) frames.push_back(FrameMemory::take(100));
  std::thread([&] {
    for (void* frame : frames) FrameMemory::give(frame, 100);
  }).join();
}

}  // namespace
}  // namespace imapmux::async
