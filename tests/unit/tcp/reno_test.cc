// SPDX-License-Identifier: Apache-2.0
#include "tcp/congestion/reno.h"

#include <gtest/gtest.h>

namespace tapir::tcp {
namespace {

AckSample acked(std::uint32_t n, bool limited = true) {
  AckSample sample;
  sample.acked = n;
  sample.cwnd_limited = limited;
  return sample;
}

TEST(Reno, SlowStartCountsSegmentsNotAcks) {
  Reno reno;
  Window one, many;
  reno.on_ack(one, acked(10));
  for (int i = 0; i < 10; ++i) reno.on_ack(many, acked(1));
  EXPECT_EQ(one.cwnd, 20U);
  EXPECT_EQ(many.cwnd, 20U);
}

TEST(Reno, DoesNotGrowWhenTheApplicationIsTheLimit) {
  Reno reno;
  Window window;
  reno.on_ack(window, acked(10, false));
  EXPECT_EQ(window.cwnd, 10U);
}

TEST(Reno, LeftOversOfSlowStartGoToAvoidance) {
  Reno reno;
  Window window;
  window.ssthresh = 12;
  reno.on_ack(window, acked(10));  // 2 to reach 12, 8 towards the next
  EXPECT_EQ(window.cwnd, 12U);
  EXPECT_EQ(window.cwnd_cnt, 8U);
  reno.on_ack(window, acked(4));
  EXPECT_EQ(window.cwnd, 13U);
  EXPECT_EQ(window.cwnd_cnt, 0U);
}

TEST(Reno, OneSegmentPerWindowInAvoidance) {
  Reno reno;
  Window window;
  window.cwnd = 10;
  window.ssthresh = 5;
  for (int i = 0; i < 10; ++i) reno.on_ack(window, acked(1));
  EXPECT_EQ(window.cwnd, 11U);
  for (int i = 0; i < 10; ++i) reno.on_ack(window, acked(1));
  EXPECT_EQ(window.cwnd, 11U);
  reno.on_ack(window, acked(1));
  EXPECT_EQ(window.cwnd, 12U);
}

TEST(Reno, Clamp) {
  Reno reno;
  Window window;
  window.cwnd_clamp = 15;
  reno.on_ack(window, acked(10));
  EXPECT_EQ(window.cwnd, 15U);
  window.ssthresh = 5;
  for (int i = 0; i < 100; ++i) reno.on_ack(window, acked(5));
  EXPECT_EQ(window.cwnd, 15U);
}

TEST(Reno, HalvesAndUndoes) {
  Reno reno;
  Window window;
  window.cwnd = 21;
  EXPECT_EQ(reno.ssthresh_after_loss(window), 10U);
  window.cwnd = 1;
  EXPECT_EQ(reno.ssthresh_after_loss(window), 2U);
  window.prior_cwnd = 21;
  EXPECT_EQ(reno.cwnd_after_undo(window), 21U);
  window.cwnd = 30;
  EXPECT_EQ(reno.cwnd_after_undo(window), 30U);
  window.cwnd_cnt = 7;
  reno.on_timeout(window, Instant{});
  EXPECT_EQ(window.cwnd_cnt, 0U);
  reno.on_idle_restart(window, Instant{});
  EXPECT_EQ(window.cwnd, 30U);
}

TEST(CongestionSlot, SelectsByName) {
  CongestionSlot slot;
  EXPECT_EQ(slot->name(), "cubic");  // Linux's default
  EXPECT_TRUE(slot.select("reno"));
  EXPECT_FALSE(slot.select("nonesuch"));
  EXPECT_EQ(slot->name(), "reno");
  EXPECT_TRUE(CongestionSlot::known("reno"));
  EXPECT_FALSE(CongestionSlot::known(""));
  EXPECT_NE(CongestionSlot::available().find("reno"), std::string_view::npos);
}

}  // namespace
}  // namespace tapir::tcp
