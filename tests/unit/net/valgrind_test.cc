// Breaks what script/test asks it to break, to see that valgrind objects: else it might be pleased with
// anything.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace {

void leak() {
  [[maybe_unused]] static char* volatile last;
  for (int i = 0; i < 2; ++i) last = new char[100];  // the first is lost, the second "still reachable"
}

void read_what_is_gone() {
  auto owner = std::make_unique<int>(7);
  const volatile int* gone = owner.get();
  owner.reset();
  if (*gone == 7) SUCCEED();
}

TEST(Valgrind, ObjectsToWhatIsBrokenOnPurpose) {
  const char* asked = std::getenv("IMAPMUX_BREAK");
  const std::string_view how = asked != nullptr ? asked : "nothing";
  if (how == "leak") leak();
  if (how == "read") read_what_is_gone();
}

}  // namespace
