// SPDX-License-Identifier: Apache-2.0
#include "tcp/state.h"

#include <gtest/gtest.h>

#include <string>

namespace tapir::tcp {
namespace {

TEST(State, NamesAreTheRfcs) {
  EXPECT_STREQ(to_string(State::kEstablished), "ESTABLISHED");
  EXPECT_STREQ(to_string(State::kFinWait1), "FIN-WAIT-1");
  for (int i = 1; i < kStateCount; ++i) EXPECT_STRNE(to_string(static_cast<State>(i)), "?") << i;
}

TEST(State, MovesAreFigure5s) {
  EXPECT_TRUE(legal_move(State::kEstablished, State::kFinWait1));
  EXPECT_TRUE(legal_move(State::kFinWait1, State::kClosing));
  EXPECT_TRUE(legal_move(State::kSynSent, State::kSynReceived));
  EXPECT_FALSE(legal_move(State::kEstablished, State::kFinWait2));
  EXPECT_FALSE(legal_move(State::kTimeWait, State::kEstablished));
  EXPECT_FALSE(legal_move(State::kCloseWait, State::kFinWait1));
  for (int i = 1; i < kStateCount; ++i) EXPECT_TRUE(legal_move(static_cast<State>(i), State::kClosed)) << i;
}

}  // namespace
}  // namespace tapir::tcp
