#include "mailbox/mailbox_view.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace imapmux::mailbox {
namespace {

MessageTable table_of(std::initializer_list<uint32_t> uids) {
  MessageTable table;
  table.grow_to(static_cast<uint32_t>(uids.size()));
  uint32_t number = 0;
  for (const uint32_t uid : uids) table.learn_uid(++number, uid);
  return table;
}

// A table and one client that has been told all of it.
struct Mailbox {
  explicit Mailbox(std::initializer_list<uint32_t> uids) : table(table_of(uids)) {
    view.tell_exists(table.known());
  }
  void expunge(uint32_t number) {
    view.on_expunge(number);
    table.expunge(number);
  }
  std::string uids(std::string_view set) const {
    const auto messages = view.messages(*wire::SequenceSet::parse(set), table, view.count());
    if (messages.invalid) return "invalid";
    return messages.uids.to_string() + (messages.ghosts ? " ghosts" : "");
  }
  std::vector<uint32_t> told() {
    std::vector<uint32_t> numbers;
    view.tell_expunged(numbers);
    return numbers;
  }
  MessageTable table;
  MailboxView view;
};

TEST(MailboxView, GhostsKeepTheirNumbers) {
  Mailbox box{10, 20, 30, 40, 50};
  box.expunge(2);
  box.expunge(3);  // UID 40
  EXPECT_EQ(box.view.to_table(1), 1U);
  EXPECT_EQ(box.view.to_table(2), 0U);
  EXPECT_EQ(box.view.to_table(3), 2U);
  EXPECT_EQ(box.view.to_table(4), 0U);
  EXPECT_EQ(box.view.to_table(5), 3U);
  EXPECT_EQ(box.view.to_view(1), 1U);
  EXPECT_EQ(box.view.to_view(2), 3U);
  EXPECT_EQ(box.view.to_view(3), 5U);
  EXPECT_EQ(box.told(), (std::vector<uint32_t>{4, 2}));
  EXPECT_EQ(box.view.count(), 3U);
  EXPECT_EQ(box.view.to_view(2), 2U);
}

TEST(MailboxView, SetsBecomeUids) {
  Mailbox box{10, 20, 30, 40, 50};
  EXPECT_EQ(box.uids("1"), "10");
  EXPECT_EQ(box.uids("*"), "50");
  EXPECT_EQ(box.uids("2:4"), "20:40");
  EXPECT_EQ(box.uids("4:2"), "20:40");
  EXPECT_EQ(box.uids("*:3"), "30:50");
  EXPECT_EQ(box.uids("1,3,5"), "10,30,50");
  EXPECT_EQ(box.uids("6"), "invalid");
  EXPECT_EQ(box.uids("1:6"), "invalid");
}

TEST(MailboxView, ASetMeansWhatItMeantWhenItWasRead) {
  Mailbox box{10, 20, 30};
  const auto star = *wire::SequenceSet::parse("*");
  EXPECT_EQ(box.view.messages(star, box.table, 2).uids.to_string(), "20");
  EXPECT_TRUE(box.view.messages(*wire::SequenceSet::parse("3"), box.table, 2).invalid);
}

TEST(MailboxView, OfARangeTheLivingAreLeft) {
  Mailbox box{10, 20, 30, 40, 50};
  box.expunge(1);
  box.expunge(4);  // UID 50
  EXPECT_EQ(box.uids("1:*"), "20:40 ghosts");
  EXPECT_EQ(box.uids("*"), " ghosts");
  EXPECT_EQ(box.uids("1"), " ghosts");
  EXPECT_EQ(box.uids("1:2"), "20 ghosts");
  EXPECT_EQ(box.uids("2:4"), "20:40");
  EXPECT_TRUE(box.view.any_ghost(*wire::SequenceSet::parse("2:*"), 5));
  EXPECT_FALSE(box.view.any_ghost(*wire::SequenceSet::parse("2:4"), 5));
}

TEST(MailboxView, AnEmptyMailboxHasNoNumbers) {
  Mailbox box{};
  EXPECT_EQ(box.uids("1"), "invalid");
  EXPECT_EQ(box.uids("*"), "invalid");
  EXPECT_EQ(box.uids("1:*"), "invalid");
}

TEST(MailboxView, NewMessagesHaveNoNumberBeforeTheyAreTold) {
  Mailbox box{10, 20};
  box.expunge(1);
  box.table.grow_to(2);
  box.table.learn_uid(2, 30);
  EXPECT_EQ(box.view.count(), 2U);
  EXPECT_EQ(box.view.to_view(2), 3U);
  EXPECT_EQ(box.view.tell_exists(box.table.known()), 3U) << "the ghost counts";
  EXPECT_EQ(box.view.tell_exists(box.table.known()), 0U) << "once";
  EXPECT_EQ(box.told(), std::vector<uint32_t>{1});
  EXPECT_EQ(box.view.count(), 2U);
}

TEST(MailboxView, WhatCameAndWentUnseenIsNoGhost) {
  Mailbox box{10};
  box.table.grow_to(2);
  box.table.learn_uid(2, 20);
  box.expunge(2);
  EXPECT_FALSE(box.view.has_ghosts());
  EXPECT_EQ(box.view.tell_exists(box.table.known()), 0U);
}

// The invariant: a client that builds its list only from what it was told, and asks by number, never gets
// another message. Each view is told at random moments only.
TEST(MailboxView, NoNumberEverMeansAnotherMessage) {
  std::mt19937 random(20261125);
  const auto roll = [&](uint32_t most) { return std::uniform_int_distribution<uint32_t>(1, most)(random); };
  for (int round = 0; round < 200; ++round) {
    MessageTable table;
    uint32_t next_uid = 1;
    constexpr size_t kViews = 4;
    std::vector<MailboxView> views(kViews);
    std::vector<std::vector<uint32_t>> lists(kViews);  // UIDs as each client knows them
    for (int step = 0; step < 300; ++step) {
      const uint32_t what = roll(10);
      if (what <= 3) {
        const uint32_t more = roll(3);
        ASSERT_TRUE(table.grow_to(table.exists() + more));
      }
      if (what <= 5) {
        while (!table.complete()) {
          next_uid += roll(4);
          ASSERT_TRUE(table.learn_uid(table.known() + 1, next_uid));
        }
      }
      if (what >= 6 && what <= 8 && table.exists() > 0) {
        const uint32_t number = roll(table.exists());
        for (auto& view : views) view.on_expunge(number);
        ASSERT_TRUE(table.expunge(number));
      }
      const size_t whose = roll(kViews) - 1;
      auto& view = views[whose];
      auto& list = lists[whose];
      if (what >= 9) {
        std::vector<uint32_t> expunged;
        view.tell_expunged(expunged);
        for (const uint32_t number : expunged) {
          ASSERT_LE(number, list.size());
          list.erase(list.begin() + number - 1);
        }
      }
      if (what % 2 == 0) {
        if (const uint32_t exists = view.tell_exists(table.known()); exists != 0) {
          ASSERT_GT(exists, list.size());
          while (list.size() < exists) {
            const uint32_t number = view.to_table(static_cast<uint32_t>(list.size()) + 1);
            ASSERT_NE(number, 0U);
            list.push_back(table.uid(number));
          }
        }
      }
      ASSERT_EQ(view.count(), list.size());
      for (uint32_t mine = 1; mine <= view.count(); ++mine) {
        const uint32_t number = view.to_table(mine);
        if (number == 0) {
          ASSERT_EQ(table.number_of(list[mine - 1]), 0U) << "a ghost lives";
          continue;
        }
        ASSERT_EQ(table.uid(number), list[mine - 1]);
        ASSERT_EQ(view.to_view(number), mine);
      }
      if (view.count() == 0) continue;
      // A range means the living of it.
      uint32_t first = roll(view.count());
      uint32_t last = roll(view.count());
      if (first > last) std::swap(first, last);
      wire::SequenceSet set;
      set.add_range(first, last);
      const auto messages = view.messages(set, table, view.count());
      ASSERT_FALSE(messages.invalid);
      std::set<uint32_t> expected;
      for (uint32_t mine = first; mine <= last; ++mine)
        if (view.to_table(mine) != 0) expected.insert(list[mine - 1]);
      std::set<uint32_t> got;
      for (uint32_t number = 1; number <= table.known(); ++number)
        if (messages.uids.contains(table.uid(number), 0)) got.insert(table.uid(number));
      ASSERT_EQ(got, expected);
      ASSERT_EQ(messages.ghosts, expected.size() < last - first + 1);
      ASSERT_EQ(view.any_ghost(set, view.count()), messages.ghosts);
    }
  }
}

}  // namespace
}  // namespace imapmux::mailbox
