// SPDX-License-Identifier: Apache-2.0
#include "tcp/rtt.h"

#include <gtest/gtest.h>

namespace tapir::tcp {
namespace {

constexpr Instant kStart = Instant{} + 1000s;

TEST(Rtt, OneSecondBeforeAnySample) {
  Knobs knobs;
  Rtt rtt;
  EXPECT_FALSE(rtt.has_sample());
  EXPECT_EQ(rtt.base_rto(knobs), 1s);
  EXPECT_EQ(rtt.min_rtt(), Duration::max());
  EXPECT_EQ(rtt.mdev_us(), 250000U);
}

TEST(Rtt, FirstSample) {
  Knobs knobs;
  Rtt rtt;
  rtt.on_sample(100ms, kStart, 1, 1000, knobs);
  EXPECT_EQ(rtt.srtt(), 100ms);
  EXPECT_EQ(rtt.mdev_us(), 50000U);
  EXPECT_EQ(rtt.rttvar_us(), 200000U);  // R/2 * 4, and no less than rto_min
  EXPECT_EQ(rtt.base_rto(knobs), 300ms);
  EXPECT_EQ(rtt.min_rtt(), 100ms);
}

TEST(Rtt, ShortPathsKeepTheLowerLimitAboveSrtt) {
  Knobs knobs;
  Rtt rtt;
  for (std::uint32_t i = 0; i < 100; ++i) rtt.on_sample(1ms, kStart, i * 10 + 1, i * 10 + 10, knobs);
  EXPECT_EQ(rtt.base_rto(knobs), 201ms);
  knobs.rto_min = 5ms;
  for (std::uint32_t i = 100; i < 300; ++i) rtt.on_sample(1ms, kStart, i * 10 + 1, i * 10 + 10, knobs);
  EXPECT_EQ(rtt.base_rto(knobs), 6ms + 3us);  // the quarter steps towards rto_min end 3 us short in integers
}

TEST(Rtt, GrowsAtOnceAndShrinksByRounds) {
  Knobs knobs;
  Rtt rtt;
  rtt.on_sample(100ms, kStart, 1, 100, knobs);
  rtt.on_sample(500ms, kStart, 50, 100, knobs);
  EXPECT_EQ(rtt.srtt(), 150ms);                     // 7/8 * 100 + 1/8 * 500
  EXPECT_EQ(rtt.mdev_us() * 4, 200000U + 350000U);  // mdev4 + (400000 - mdev4 / 4)
  EXPECT_EQ(rtt.rttvar_us(), 550000U);
  const std::uint32_t high = rtt.rttvar_us();
  rtt.on_sample(150ms, kStart, 90, 200, knobs);  // the same round: snd.una has not passed 100
  EXPECT_EQ(rtt.rttvar_us(), high);
  // Each round ends with the largest mdev of it, or a quarter step towards that.
  for (std::uint32_t i = 1; i < 30; ++i) rtt.on_sample(150ms, kStart, 100 * i + 1, 100 * i + 100, knobs);
  EXPECT_LT(rtt.rttvar_us(), high / 2);
  EXPECT_GE(rtt.rttvar_us(), 200000U);
}

TEST(Rtt, AFasterPathCountsAnEighth) {
  Knobs knobs;
  Rtt rtt;
  rtt.on_sample(800ms, kStart, 1, 100, knobs);  // mdev4 = 1600000
  rtt.on_sample(100ms, kStart, 2, 100, knobs);  // |err| = 700000, - 400000 = 300000, / 8 = 37500
  EXPECT_EQ(rtt.mdev_us(), (1600000U + 37500U) / 4);
}

TEST(Rtt, RoundsWorkAcrossTheWraps) {
  for (std::uint32_t base : {0x7ffffff0U, 0xfffffff0U}) {
    Knobs knobs;
    Rtt rtt;
    rtt.on_sample(400ms, kStart, base, base + 40, knobs);
    const std::uint32_t first = rtt.rttvar_us();
    rtt.on_sample(400ms, kStart, base + 20, base + 60, knobs);
    EXPECT_EQ(rtt.rttvar_us(), first) << base;
    rtt.on_sample(400ms, kStart, base + 41, base + 90,
                  knobs);  // ends the first round; its largest mdev was the first
    rtt.on_sample(400ms, kStart, base + 91, base + 120, knobs);
    EXPECT_LT(rtt.rttvar_us(), first) << base;
  }
}

TEST(Rtt, MinimumOverAWindow) {
  Knobs knobs;
  Rtt rtt;
  rtt.on_sample(50ms, kStart, 1, 2, knobs);
  rtt.on_min_sample(10ms, kStart + 1s);
  EXPECT_EQ(rtt.min_rtt(), 10ms);
  for (int s = 2; s <= 300; ++s) rtt.on_min_sample(30ms, kStart + std::chrono::seconds(s));
  EXPECT_EQ(rtt.min_rtt(), 10ms);
  rtt.on_min_sample(40ms, kStart + 302s);
  EXPECT_EQ(rtt.min_rtt(), 30ms);
  rtt.on_min_sample(60ms, kStart + 1000s);
  EXPECT_EQ(rtt.min_rtt(), 60ms);
}

TEST(Rtt, AbsurdSamplesDoNoHarm) {
  Knobs knobs;
  Rtt rtt;
  for (int i = 0; i < 100; ++i) {
    rtt.on_sample(std::chrono::hours(10000), kStart, 1, 2, knobs);
    rtt.on_sample(0ns, kStart, 1, 2, knobs);
  }
  EXPECT_LE(rtt.base_rto(knobs), knobs.rto_max);
  EXPECT_GE(rtt.base_rto(knobs), knobs.rto_min);
}

TEST(Rto, StaysInItsLimits) {
  Knobs knobs;
  Rto rto;
  EXPECT_EQ(rto.value(), 1s);
  rto.set(1ms, knobs);
  EXPECT_EQ(rto.value(), 200ms);
  rto.back_off(knobs);
  EXPECT_EQ(rto.value(), 400ms);
  for (int i = 0; i < 20; ++i) rto.back_off(knobs);
  EXPECT_EQ(rto.value(), 120s);
}

}  // namespace
}  // namespace tapir::tcp
