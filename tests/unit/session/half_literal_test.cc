// A literal that was cut off goes on where it ended, if it is the same one.
#include "session/half_literal.h"

#include <gtest/gtest.h>

namespace imapmux::session {
namespace {

using backend::LiteralStart;
using Verdict = HalfLiteral::Verdict;

struct HalfLiteralTest : testing::Test {
  HalfLiteral half;
  std::string_view rest;
  HalfLiteralTest() {
    half.begin(8, "(UID 8 BODY[TEXT] ", LiteralStart{10, false});
    half.passed("01");
    half.passed("234");
  }
};

TEST_F(HalfLiteralTest, WhatTheClientHasIsComparedAndTheRestIsPassedOn) {
  half.replay();
  EXPECT_EQ(Verdict::kGoesOn,
            half.replay_literal("(FLAGS (\\Seen) UID 8 BODY[TEXT] ", LiteralStart{10, false}));
  EXPECT_EQ(Verdict::kGoesOn, half.replay_octets("0123", rest));
  EXPECT_EQ("", rest);
  EXPECT_TRUE(half.replaying());
  EXPECT_EQ(Verdict::kGoesOn, half.replay_octets("4567", rest));
  EXPECT_EQ("567", rest);
  EXPECT_FALSE(half.replaying());
}

TEST_F(HalfLiteralTest, AnotherSizeOrSectionIsAnotherLiteral) {
  half.replay();
  EXPECT_EQ(Verdict::kDiffers, half.replay_literal("(BODY[TEXT] ", LiteralStart{11, false}));
  half.replay();
  EXPECT_EQ(Verdict::kDiffers, half.replay_literal("(BODY[1] ", LiteralStart{10, false}));
}

TEST_F(HalfLiteralTest, OtherOctetsAreAnotherLiteral) {
  half.replay();
  EXPECT_EQ(Verdict::kGoesOn, half.replay_literal("(BODY[TEXT] ", LiteralStart{10, false}));
  EXPECT_EQ(Verdict::kDiffers, half.replay_octets("01x3456789", rest));
}

TEST_F(HalfLiteralTest, LiteralsBeforeItAreSkipped) {
  half.next(" BODY[2] ", LiteralStart{3, false});
  half.passed("ab");
  half.replay();
  EXPECT_EQ(Verdict::kGoesOn, half.replay_literal("(UID 8 BODY[TEXT] ", LiteralStart{10, false}));
  EXPECT_EQ(Verdict::kGoesOn, half.replay_octets("whatever..", rest));
  EXPECT_EQ("", rest);
  EXPECT_EQ(Verdict::kGoesOn, half.replay_literal(" BODY[2] ", LiteralStart{3, false}));
  EXPECT_EQ(Verdict::kGoesOn, half.replay_octets("abc", rest));
  EXPECT_EQ("c", rest);
}

TEST_F(HalfLiteralTest, OfAWholeLiteralNothingIsLeft) {
  half.passed("56789");
  half.replay();
  EXPECT_EQ(Verdict::kGoesOn, half.replay_literal("(BODY[TEXT] ", LiteralStart{10, false}));
  EXPECT_EQ(Verdict::kGoesOn, half.replay_octets("0123456789", rest));
  EXPECT_EQ("", rest);
  EXPECT_FALSE(half.replaying());
}

TEST_F(HalfLiteralTest, WhereTheClientHasNothingEverythingIsPassedOn) {
  half.begin(8, "(BODY[] ", LiteralStart{4, false});
  half.replay();
  EXPECT_EQ(Verdict::kGoesOn, half.replay_literal("(BODY[] ", LiteralStart{4, false}));
  EXPECT_FALSE(half.replaying());
}

}  // namespace
}  // namespace imapmux::session
