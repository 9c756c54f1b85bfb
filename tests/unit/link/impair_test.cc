// SPDX-License-Identifier: Apache-2.0
#include "link/impair.h"

#include <gtest/gtest.h>

#include <map>

#include "link/pipe.h"
#include "unit/link/frames.h"

namespace tapir::link {
namespace {

ImpairConfig config_of(std::string_view text) {
  const auto config = parse_impair(text);
  EXPECT_TRUE(config) << text << ": " << (config ? "" : config.error());
  return config.value_or(ImpairConfig{});
}

// Impair over one end of a pipe.
struct Rig {
  explicit Rig(std::string_view text, std::uint64_t seed = 1, const PipeConfig& pipe = {}) {
    auto [a, b] = make_pipe(pipe);
    near = std::make_unique<Impair>(std::move(a), config_of(text), seed);
    far = std::move(b);
  }
  // Sends `count` numbered frames a millisecond apart, and answers what the far end saw by the end: number,
  // at which millisecond.
  std::vector<std::pair<int, std::int64_t>> run(int count, Duration gap = 1ms) {
    std::vector<std::pair<int, std::int64_t>> seen;
    Instant now = at(0ms);
    for (int i = 0; i < count; ++i) {
      const OutgoingFrame frame = numbered_frame(static_cast<std::uint8_t>(i), payload);
      near->transmit({&frame, 1}, now);
      collect(now, seen);
      const Instant next = now + gap;
      for (now = std::min(near->next_timeout(), next); now < next; now = std::min(near->next_timeout(), next))
        collect(now, seen);
      now = next;
    }
    while (near->next_timeout() != kNever) {
      now = std::max(now, near->next_timeout());
      collect(now, seen);
    }
    return seen;
  }
  void collect(Instant now, std::vector<std::pair<int, std::int64_t>>& seen) {
    EXPECT_TRUE(receiver.receive(*near, now).empty());
    for (const Frame& frame : receiver.receive(*far, now))
      seen.emplace_back(number_of(frame), static_cast<std::int64_t>(to_nsec(now)) / 1'000'000);
  }
  std::vector<std::uint8_t> payload = payload_bytes(985);
  Receiver receiver;
  std::unique_ptr<Impair> near;
  std::unique_ptr<PipeEnd> far;
};

TEST(ImpairConfig, ReadsEveryItem) {
  ImpairConfig expected;
  EXPECT_EQ(config_of(""), expected);
  expected.loss_ppm = 10'000;
  expected.delay = 10ms;
  EXPECT_EQ(config_of("loss 1%, delay 10ms"), expected);
  expected = {};
  expected.jitter = 2'500us;
  expected.rate_bps = 1'500'000;
  expected.reorder_ppm = 50'000;
  expected.reorder_by = 3ms;
  expected.duplicate_ppm = 10'000;
  expected.corrupt_ppm = 1'000;
  expected.truncate_ppm = 1;
  expected.limit = 77;
  expected.blackhole_mtu = 1400;
  expected.seed = 42;
  expected.in = false;
  EXPECT_EQ(config_of("jitter 2.5ms,rate 1.5mbit,reorder 5% 3ms,duplicate 1%,corrupt 0.1%,truncate "
                      "0.0001%,limit 77,mtu 1400 blackhole,seed 42,out"),
            expected);
  expected = {};
  expected.burst = {.enter_ppm = 1'000, .leave_ppm = 100'000, .bad_loss_ppm = kPpmAlways, .good_loss_ppm = 0};
  expected.out = false;
  EXPECT_EQ(config_of(" burst 0.1%  10 , in"), expected);
  expected.burst = {
      .enter_ppm = 20'000, .leave_ppm = 300'000, .bad_loss_ppm = 400'000, .good_loss_ppm = 5'000};
  expected.out = true;
  EXPECT_EQ(config_of("gemodel 2% 30% 40% 0.5%, both"), expected);
  EXPECT_EQ(config_of("delay 1.000000001s").delay, 1'000'000'001ns);
  EXPECT_EQ(config_of("loss 100%").loss_ppm, kPpmAlways);
  EXPECT_EQ(config_of("rate 10gbit").rate_bps, 10'000'000'000U);
  EXPECT_EQ(config_of("seed 18446744073709551615").seed, UINT64_MAX);
}

TEST(ImpairConfig, ErrorsSayWhatIsWrong) {
  const std::map<std::string_view, std::string_view> errors = {
      {"loss", "'loss' is written 'loss P'"},
      {"loss 1", "'1' is no chance: say for example 1% or 0.01% (at most 4 decimals)"},
      {"loss 101%", "'101%' is no chance: say for example 1% or 0.01% (at most 4 decimals)"},
      {"loss 0.00001%", "'0.00001%' is no chance: say for example 1% or 0.01% (at most 4 decimals)"},
      {"loss -1%", "'-1%' is no chance: say for example 1% or 0.01% (at most 4 decimals)"},
      {"delay 10", "'10' is no time: say for example 10ms, 1.5s or 200us (at most an hour)"},
      {"delay 3601s", "'3601s' is no time: say for example 10ms, 1.5s or 200us (at most an hour)"},
      {"delay 99999999999999999999s",
       "'99999999999999999999s' is no time: say for example 10ms, 1.5s or 200us (at most an hour)"},
      {"delay 1.s", "'1.s' is no time: say for example 10ms, 1.5s or 200us (at most an hour)"},
      {"rate 0mbit", "'0mbit' is no rate: say for example 100mbit, 1gbit or 64kbit"},
      {"rate 5", "'5' is no rate: say for example 100mbit, 1gbit or 64kbit"},
      {"limit 0", "limit '0' is no number from 1 to 100000"},
      {"mtu 67", "mtu '67' is no number from 68 to 65535"},
      {"mtu 1400 now", "'now' after mtu is not understood: say mtu 1400 blackhole"},
      {"burst 1%", "'burst' is written 'burst P N'"},
      {"burst 1% 0", "burst length '0' is no number from 1 to 1000000"},
      {"loss 1%,", "an item is missing beside ','"},
      {"a b c d e f g", "too many words after 'a': items are parted by ','"},
      {"both 1", "'both' is written 'both'"},
  };
  for (const auto& [text, message] : errors) {
    const auto config = parse_impair(text);
    ASSERT_FALSE(config) << text;
    EXPECT_EQ(config.error(), message);
  }
  EXPECT_TRUE(parse_impair("lag 5ms").error().starts_with("'lag' is no impairment: there are loss, burst"));
}

TEST(ImpairDevice, NothingConfiguredChangesNothing) {
  Rig rig("");
  const auto seen = rig.run(100);
  ASSERT_EQ(seen.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], std::pair(i, std::int64_t{i}));
}

TEST(ImpairDevice, LosesAboutAsManyAsAsked) {
  Rig rig("loss 10%");
  int total = 0;
  for (int i = 0; i < 20; ++i) total += static_cast<int>(rig.run(200).size());
  EXPECT_NEAR(total, 3600, 80);
  EXPECT_EQ(rig.near->out_stats().seen, 4000U);
  EXPECT_EQ(rig.near->out_stats().lost + rig.near->out_stats().passed, 4000U);
  Rig all("loss 100%");
  EXPECT_TRUE(all.run(50).empty());
}

TEST(ImpairDevice, BurstsLoseRuns) {
  Rig rig("burst 1% 10");
  int lost = 0;
  int runs = 0;
  bool losing = false;
  std::uint64_t before = 0;
  for (int i = 0; i < 20'000; ++i) {
    const OutgoingFrame frame = numbered_frame(0, {});
    rig.near->transmit({&frame, 1}, at(0ms));
    rig.receiver.receive(*rig.far, at(0ms));
    const bool now_lost = rig.near->out_stats().lost != before;
    before = rig.near->out_stats().lost;
    lost += now_lost ? 1 : 0;
    runs += now_lost && !losing ? 1 : 0;
    losing = now_lost;
  }
  ASSERT_GT(runs, 100);
  EXPECT_NEAR(lost / runs, 10, 2);
}

TEST(ImpairDevice, DelaysByTheConfiguredTime) {
  Rig rig("delay 10ms");
  const auto seen = rig.run(50);
  ASSERT_EQ(seen.size(), 50U);
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(seen[static_cast<std::size_t>(i)], std::pair(i, std::int64_t{i + 10}));
}

TEST(ImpairDevice, JitterKeepsTheOrder) {
  Rig rig("delay 10ms, jitter 9ms");
  const auto seen = rig.run(200);
  ASSERT_EQ(seen.size(), 200U);
  bool varied = false;
  for (int i = 0; i < 200; ++i) {
    const auto [number, when] = seen[static_cast<std::size_t>(i)];
    EXPECT_EQ(number, i);
    EXPECT_GE(when, i + 1);
    EXPECT_LE(when, i + 19);
    varied |= when != i + 10;
  }
  EXPECT_TRUE(varied);
}

TEST(ImpairDevice, RateSpacesFrames) {
  // 1,000 bytes at 8 Mbit/s take a millisecond; sent all at once, they leave one by one.
  Rig rig("rate 8mbit");
  const auto seen = rig.run(20, 0ms);
  ASSERT_EQ(seen.size(), 20U);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(seen[static_cast<std::size_t>(i)], std::pair(i, std::int64_t{i + 1}));
}

TEST(ImpairDevice, TheLimitDropsTheTail) {
  Rig rig("rate 8mbit, limit 5");
  const auto seen = rig.run(20, 0ms);
  ASSERT_EQ(seen.size(), 5U);
  EXPECT_EQ(seen.back().first, 4);
  EXPECT_EQ(rig.near->out_stats().over_limit, 15U);
}

TEST(ImpairDevice, ReorderedFramesArePassed) {
  Rig rig("reorder 20% 5ms");
  const auto seen = rig.run(200);
  ASSERT_EQ(seen.size(), 200U);
  int late = 0;
  for (std::size_t i = 1; i < seen.size(); ++i) late += seen[i].first < seen[i - 1].first ? 1 : 0;
  EXPECT_GT(late, 10);
  EXPECT_NEAR(static_cast<int>(rig.near->out_stats().reordered), 40, 20);
}

TEST(ImpairDevice, DuplicatesComeTwice) {
  Rig rig("duplicate 50%");
  const auto seen = rig.run(200);
  EXPECT_EQ(seen.size(), 200 + rig.near->out_stats().duplicated);
  EXPECT_NEAR(static_cast<int>(seen.size()), 300, 40);
}

TEST(ImpairDevice, TheBlackHoleSwallowsWhatIsTooLong) {
  Rig rig("mtu 986 blackhole");
  EXPECT_EQ(rig.run(3).size(), 3U) << "986 bytes behind the Ethernet header";
  Rig less("mtu 985");
  EXPECT_TRUE(less.run(3).empty());
  EXPECT_EQ(less.near->out_stats().over_mtu, 3U);
}

TEST(ImpairDevice, CorruptionFlipsOneBitBehindTheLinkHeader) {
  Rig rig("corrupt 100%");
  const OutgoingFrame frame = numbered_frame(7, rig.payload);
  const auto sent = bytes_of(frame);
  for (int i = 0; i < 100; ++i) {
    rig.near->transmit({&frame, 1}, at(0ms));
    const auto frames = rig.receiver.receive(*rig.far, at(0ms));
    ASSERT_EQ(frames.size(), 1U);
    int bits = 0;
    for (std::size_t at = 0; at < sent.size(); ++at) {
      const int flipped = std::popcount(static_cast<unsigned>(sent[at] ^ frames[0].bytes()[at]));
      if (at < 14) {
        EXPECT_EQ(flipped, 0);
      }
      bits += flipped;
    }
    EXPECT_EQ(bits, 1);
  }
}

TEST(ImpairDevice, TruncationCutsTheTail) {
  Rig rig("truncate 100%");
  const OutgoingFrame frame = numbered_frame(7, rig.payload);
  for (int i = 0; i < 100; ++i) {
    rig.near->transmit({&frame, 1}, at(0ms));
    const auto frames = rig.receiver.receive(*rig.far, at(0ms));
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_GE(frames[0].size(), 14U);
    EXPECT_LT(frames[0].size(), frame.size());
  }
}

TEST(ImpairDevice, StrikesSegmentsOfSuperSegments) {
  Rig rig("loss 30%");
  const auto payload = payload_bytes(60'000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 1448);
  EXPECT_EQ(rig.near->transmit({&super, 1}, at(0ms)), 1U);
  const auto frames = rig.receiver.receive(*rig.far, at(0ms));
  EXPECT_EQ(rig.near->out_stats().seen, 42U);
  EXPECT_GT(frames.size(), 20U);
  EXPECT_LT(frames.size(), 42U);
  for (const Frame& frame : frames) EXPECT_TRUE(is_sound_tcp(frame.bytes()));
}

TEST(ImpairDevice, StrikesWhatIsReceivedToo) {
  Rig rig("loss 30%, delay 5ms, in", 1, {.offloads = all_offloads()});
  const auto payload = payload_bytes(60'000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 1448);
  rig.far->transmit({&super, 1}, at(0ms));
  EXPECT_TRUE(rig.receiver.receive(*rig.near, at(0ms)).empty());
  EXPECT_EQ(rig.near->next_timeout(), at(5ms));
  const auto frames = rig.receiver.receive(*rig.near, at(5ms));
  EXPECT_EQ(frames.size() + rig.near->in_stats().lost, 42U);
  EXPECT_GT(rig.near->in_stats().lost, 3U);
  for (const Frame& frame : frames) {
    EXPECT_TRUE(is_sound_tcp(frame.bytes()));
    EXPECT_EQ(frame.meta().checksum, ChecksumState::kNone);
    EXPECT_EQ(frame.meta().gso.type, GsoType::kNone);
    EXPECT_EQ(frame.meta().received_at, at(5ms));
  }
  // The other direction is untouched: the super-segment arrives whole.
  EXPECT_EQ(rig.near->transmit({&super, 1}, at(9ms)), 1U);
  const auto other = rig.receiver.receive(*rig.far, at(9ms));
  ASSERT_EQ(other.size(), 1U);
  EXPECT_EQ(other[0].meta().gso.size, 1448);
}

TEST(ImpairDevice, NoLossBesideTheConfiguredOne) {
  // A small configured chance must not make splitting overflow the queue: 3 x 7,000 segments pass at one
  // moment.
  Rig rig("corrupt 0.0001%, limit 10", 1, {.offloads = all_offloads()});
  const auto payload = payload_bytes(60'000);
  const OutgoingFrame super = tcp_frame(payload, wire::kAck, 536);
  std::size_t received = 0;
  for (int i = 0; i < 3; ++i) {
    for (int n = 0; n < 60; ++n) rig.far->transmit({&super, 1}, at(0ms));
    received += rig.receiver.receive(*rig.near, at(0ms)).size();
  }
  EXPECT_EQ(received, 3 * 60 * 112U);
}

TEST(ImpairDevice, TheSameSeedTheSameFate) {
  constexpr std::string_view kAll =
      "loss 5%, burst 1% 4, delay 10ms, jitter 5ms, reorder 10%, duplicate 5%, rate 20mbit";
  const auto once = Rig(kAll, 7).run(250);
  EXPECT_EQ(Rig(kAll, 7).run(250), once);
  EXPECT_NE(Rig(kAll, 8).run(250), once);
  EXPECT_EQ(Rig(std::string(kAll) + ", seed 7", 99).run(250), once);
}

TEST(ImpairDevice, ADeviceWithoutRoomIsAskedAgain) {
  Rig rig("delay 1ms, out", 1, {.frames_max = 1});
  const std::array<OutgoingFrame, 2> batch = {numbered_frame(1, {}), numbered_frame(2, {})};
  EXPECT_EQ(rig.near->transmit(batch, at(0ms)), 2U);
  std::array<Frame, 4> none;
  EXPECT_EQ(rig.near->receive(none, rig.receiver.pool, at(1ms)), 0U);
  EXPECT_EQ(rig.near->next_timeout(), at(1ms) + kImpairRetry);
  EXPECT_EQ(rig.receiver.receive(*rig.far, at(1ms)).size(), 1U);
  EXPECT_EQ(rig.near->receive(none, rig.receiver.pool, at(2ms)), 0U);
  EXPECT_EQ(rig.receiver.receive(*rig.far, at(2ms)).size(), 1U);
  EXPECT_EQ(rig.near->out_stats().over_limit, 0U);
}

TEST(ImpairDevice, ReconfiguredOnTheFly) {
  Rig rig("loss 100%");
  EXPECT_TRUE(rig.run(10).empty());
  rig.near->configure(config_of("delay 3ms"));
  EXPECT_EQ(rig.run(10).size(), 10U);
}

TEST(ImpairDevice, FramesInFlightOutliveTheReceiver) {
  Rig rig("delay 1s", 1, {.offloads = all_offloads()});
  {
    Receiver gone;
    const OutgoingFrame frame = numbered_frame(1, {});
    rig.far->transmit({&frame, 1}, at(0ms));
    EXPECT_TRUE(gone.receive(*rig.near, at(0ms)).empty());
  }
  EXPECT_EQ(rig.receiver.receive(*rig.near, at(1s)).size(), 1U);
}

}  // namespace
}  // namespace tapir::link
