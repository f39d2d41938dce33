// Who looks at a mailbox, and what is counted of it.
#include "mailbox/viewers.h"

#include <gtest/gtest.h>

#include <vector>

namespace imapmux::mailbox {
namespace {

struct Client final : Viewer {
  void on_news() noexcept override {}
  void on_mailbox_changed_identity() noexcept override {}
  void on_untagged(const wire::Response&, std::optional<backend::LiteralStart>) noexcept override {}
  void on_literal(std::string_view) noexcept override {}
  void on_text(std::string_view, std::optional<backend::LiteralStart>) noexcept override {}
  bool on_fetch(const SharedMailbox&, const wire::Response&,
                std::optional<backend::LiteralStart>) noexcept override {
    return false;
  }
};

struct ViewersTest : testing::Test {
  Client reader;
  Client writer;
  Viewers viewers;
  ViewersTest() { reader.read_only = true; }
  ~ViewersTest() override {
    for (auto* client : {&reader, &writer})
      if (client->linked()) viewers.remove(*client);
  }
};

TEST_F(ViewersTest, CountsWhoIsThereAndWhoWrites) {
  EXPECT_TRUE(viewers.empty());
  viewers.add(reader);
  EXPECT_FALSE(viewers.any_writes());
  viewers.add(writer);
  EXPECT_TRUE(viewers.any_writes());
  EXPECT_EQ(viewers.size(), 2U);
  viewers.remove(writer);
  EXPECT_FALSE(viewers.any_writes());
  EXPECT_EQ(viewers.size(), 1U);
}

TEST_F(ViewersTest, WhoBeginsToIdleTwiceEndsItOnce) {
  viewers.add(writer);
  viewers.begin_idle(writer);
  viewers.begin_idle(writer);
  EXPECT_TRUE(viewers.any_idles());
  EXPECT_TRUE(writer.idling);
  viewers.end_idle(writer);
  EXPECT_FALSE(viewers.any_idles());
  viewers.end_idle(writer);
  EXPECT_FALSE(viewers.any_idles());
}

TEST_F(ViewersTest, WhoLeavesIdlesNoMore) {
  viewers.add(writer);
  viewers.begin_idle(writer);
  viewers.remove(writer);
  EXPECT_FALSE(viewers.any_idles());
  EXPECT_FALSE(writer.idling);
  // As the end of its IDLE does, when the mailbox has gone from under it.
  viewers.end_idle(writer);
  viewers.begin_idle(writer);
  EXPECT_FALSE(viewers.any_idles());
}

TEST_F(ViewersTest, OneMayBeRemovedWhileAllAreVisited) {
  viewers.add(reader);
  viewers.add(writer);
  std::vector<const Viewer*> seen;
  viewers.for_each([&](Viewer& viewer) {
    seen.push_back(&viewer);
    viewers.remove(viewer);
  });
  EXPECT_EQ(seen, (std::vector<const Viewer*>{&reader, &writer}));
  EXPECT_TRUE(viewers.empty());
}

}  // namespace
}  // namespace imapmux::mailbox
