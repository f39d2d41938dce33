// What a thread says in the log, for those who asked for what it does.
#include "base/log_recording.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/log.h"
#include "base/log_event.h"

namespace imapmux::base::log {
namespace {

TEST(LogRecording, HasWhatItsThreadSaysWhileItLives) {
  info("before");
  {
    const Recording recording;
    info("one {}", 1);
    debug("not logged");
    std::thread([] { warn("another thread's"); }).join();
    error("two");
    Event changed(Level::kInfo, "changed");
    changed.write({{"what", std::string_view("a limit")}});
    EXPECT_EQ(recording.lines(),
              (std::vector<std::string>{"info: one 1", "error: two", "info: changed what=\"a limit\""}));
  }
  info("after");
  EXPECT_TRUE(Recording().lines().empty());
}

}  // namespace
}  // namespace imapmux::base::log
