// SPDX-License-Identifier: Apache-2.0
#include "tcp/ack_policy.h"

#include <gtest/gtest.h>

namespace tapir::tcp {
namespace {

constexpr Instant kStart = Instant{} + 1000s;
constexpr std::uint32_t kWindow = 65535;

struct AckPolicyTest : testing::Test {
  Knobs knobs;
  AckPolicy policy;
  void data(std::uint32_t bytes, Instant at, bool push = false, Duration srtt = 10ms) {
    policy.measure(bytes, push);
    policy.on_data(kWindow, at, srtt, knobs);
  }
  // Spends the quick-ACKs of the start.
  void leave_quick() {
    while (policy.quick_budget() != 0) {
      policy.schedule();
      policy.on_ack_sent(1);
    }
  }
};

TEST_F(AckPolicyTest, StartsWithQuickAcks) {
  EXPECT_FALSE(policy.ack_owed());
  data(1000, kStart);
  EXPECT_TRUE(policy.ack_owed());
  EXPECT_EQ(policy.rcv_mss(), 1000);
  EXPECT_EQ(policy.quick_budget(), kQuickAcksMax);
  EXPECT_TRUE(policy.due_now(0, false));
  EXPECT_EQ(policy.ato(), 40ms);
  policy.on_ack_sent(1);
  EXPECT_FALSE(policy.ack_owed());
  EXPECT_EQ(policy.quick_budget(), 15);
  policy.on_ack_sent(1);  // nothing was owed: nothing spent
  EXPECT_EQ(policy.quick_budget(), 15);
}

TEST_F(AckPolicyTest, QuickBudgetFollowsTheWindow) {
  policy.measure(1000, false);
  policy.on_data(8000, kStart, 10ms, knobs);
  EXPECT_EQ(policy.quick_budget(), 4);
  AckPolicy small;
  small.measure(1000, false);
  small.on_data(1500, kStart, 10ms, knobs);
  EXPECT_EQ(small.quick_budget(), 2);
}

TEST_F(AckPolicyTest, EverySecondFullSegmentAfterwards) {
  data(1000, kStart);
  leave_quick();
  data(1000, kStart + 1ms);
  EXPECT_FALSE(policy.due_now(1000, true));
  EXPECT_TRUE(policy.due_now(2000, true));
  EXPECT_FALSE(policy.due_now(2000, false));
  EXPECT_EQ(policy.delay(10ms, 200ms, knobs), 40ms);
}

TEST_F(AckPolicyTest, AtoFollowsTheGaps) {
  data(1000, kStart);
  data(1000, kStart + 1ms);
  EXPECT_EQ(policy.ato(), 40ms);  // 20 + 20
  data(1000, kStart + 31ms);      // 30 ms: 20 + 30
  EXPECT_EQ(policy.ato(), 50ms);
  data(1000, kStart + 71ms);  // 40 ms: 25 + 40
  EXPECT_EQ(policy.ato(), 65ms);
  data(1000, kStart + 171ms);  // more than ato, less than an RTO: left alone
  EXPECT_EQ(policy.ato(), 65ms);
  leave_quick();
  EXPECT_EQ(policy.ato(), 40ms);
  data(1000, kStart + 171ms + 211ms);  // longer than srtt + rto_min: the peer starts anew
  EXPECT_EQ(policy.quick_budget(), kQuickAcksMax);
}

TEST_F(AckPolicyTest, DelayIsBoundedByTheRoundTrip) {
  data(1000, kStart);
  data(1000, kStart + 30ms);
  EXPECT_EQ(policy.ato(), 50ms);
  EXPECT_EQ(policy.delay(10ms, 200ms, knobs), 40ms);  // no less than 40
  EXPECT_EQ(policy.delay(45ms, 200ms, knobs), 45ms);
  EXPECT_EQ(policy.delay(0ms, 200ms, knobs), 50ms);
  EXPECT_EQ(policy.delay(0ms, 10ms, knobs), 9ms);  // below the least RTO
  for (int i = 0; i < 10; ++i) policy.on_timeout(knobs);
  EXPECT_EQ(policy.delay(10s, 1s, knobs), 200ms);
  EXPECT_TRUE(AckPolicy::nearly_due(kStart + 10ms, kStart, 40ms));
  EXPECT_FALSE(AckPolicy::nearly_due(kStart + 11ms, kStart, 40ms));
}

TEST_F(AckPolicyTest, OneReplyMakesAConversation) {
  data(100, kStart, true);
  EXPECT_TRUE(policy.quick());
  policy.on_data_sent(kStart + 41ms);  // too late to be a reply
  EXPECT_FALSE(policy.ping_pong());
  policy.on_data_sent(kStart + 39ms);
  EXPECT_TRUE(policy.ping_pong());
  EXPECT_FALSE(policy.quick());
  EXPECT_FALSE(policy.due_now(100, true));
  // Its delayed ACK not carried by a reply ends it.
  policy.on_timeout(knobs);
  EXPECT_FALSE(policy.ping_pong());
  EXPECT_EQ(policy.ato(), 40ms);
  policy.on_timeout(knobs);  // outside it the delay grows
  EXPECT_EQ(policy.ato(), 80ms);
  policy.on_timeout(knobs);
  policy.on_timeout(knobs);
  EXPECT_EQ(policy.ato(), 210ms);  // up to the RTO
}

TEST_F(AckPolicyTest, HolesAreAcknowledgedQuickly) {
  data(1000, kStart);
  leave_quick();
  policy.on_data_sent(kStart + 1ms);
  EXPECT_TRUE(policy.ping_pong());
  policy.enter_quick(kQuickAcksMax, kWindow);
  EXPECT_TRUE(policy.quick());
  EXPECT_EQ(policy.quick_budget(), 16);
}

TEST_F(AckPolicyTest, MeasuresTheSegmentSize) {
  policy.set_initial_rcv_mss(536);
  data(1448, kStart);
  EXPECT_EQ(policy.rcv_mss(), 1448);
  data(1000, kStart + 1ms);  // once is no proof
  EXPECT_EQ(policy.rcv_mss(), 1448);
  data(1000, kStart + 2ms);
  EXPECT_EQ(policy.rcv_mss(), 1000);
  data(300, kStart + 3ms, true);  // ends of writes say nothing
  data(300, kStart + 4ms, true);
  EXPECT_EQ(policy.rcv_mss(), 1000);
  data(300, kStart + 5ms);
  data(300, kStart + 6ms);
  EXPECT_EQ(policy.rcv_mss(), 300);
}

TEST_F(AckPolicyTest, AReadThatDrainsAcknowledgesAPush) {
  data(1000, kStart);
  leave_quick();
  EXPECT_FALSE(policy.due_after_read(100, true, true));  // nothing owed
  data(100, kStart + 1ms, true);
  EXPECT_TRUE(policy.due_after_read(100, true, true));
  EXPECT_FALSE(policy.due_after_read(100, true, false));
  EXPECT_FALSE(policy.due_after_read(100, false, true));
  EXPECT_TRUE(policy.due_after_read(1001, false, false));
  policy.on_data_sent(kStart + 2ms);  // a conversation waits for the reply, but not twice
  EXPECT_FALSE(policy.due_after_read(100, true, true));
  data(100, kStart + 3ms, true);
  EXPECT_TRUE(policy.due_after_read(200, true, true));
}

TEST_F(AckPolicyTest, QuickAckOption) {
  EXPECT_TRUE(policy.quickack_option());
  EXPECT_FALSE(policy.set_quickack(0));
  EXPECT_FALSE(policy.quickack_option());
  data(1000, kStart);
  EXPECT_FALSE(policy.quick());
  EXPECT_TRUE(policy.set_quickack(1));
  EXPECT_TRUE(policy.quickack_option());
  EXPECT_TRUE(policy.due_after_read(1000, true, true));
  EXPECT_TRUE(policy.set_quickack(2));  // for this ACK alone
  EXPECT_FALSE(policy.quickack_option());
}

}  // namespace
}  // namespace tapir::tcp
