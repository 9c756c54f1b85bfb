// SPDX-License-Identifier: Apache-2.0
#include "trace/ring.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace tapir::trace {
namespace {

enum class Event : std::uint16_t { kSomething = 0x0501 };

Record numbered(std::uint64_t n) {
  Record record;
  record.words[0] = n;
  return record;
}

TEST(RingProbe, KeepsTheNewest) {
  RingProbe ring(4);
  EXPECT_TRUE(ring.empty());
  EXPECT_FALSE(ring.pop());
  for (std::uint64_t n = 1; n <= 6; ++n) ring.on_record(numbered(n));
  EXPECT_EQ(ring.size(), 4u);
  EXPECT_EQ(ring.lost(), 2u);
  EXPECT_EQ(ring[0].words[0], 3u);
  EXPECT_EQ(ring[3].words[0], 6u);
  EXPECT_EQ(ring.pop()->words[0], 3u);
  ring.on_record(numbered(7));
  EXPECT_EQ(ring.lost(), 2u);
  std::array<Record, 3> out;
  EXPECT_EQ(ring.drain(out), 3u);
  EXPECT_EQ(out[0].words[0], 4u);
  EXPECT_EQ(out[2].words[0], 6u);
  EXPECT_EQ(ring.drain(out), 1u);
  EXPECT_EQ(out[0].words[0], 7u);
  EXPECT_EQ(ring.drain(out), 0u);
  EXPECT_DEATH(static_cast<void>(ring[0]), "only unread");
}

TEST(RingProbe, ClearForgets) {
  RingProbe ring(0);
  EXPECT_EQ(ring.capacity(), 1u);
  ring.on_record(numbered(1));
  ring.clear();
  EXPECT_TRUE(ring.empty());
  EXPECT_EQ(ring.lost(), 0u);
  ring.on_record(numbered(2));
  EXPECT_EQ(ring.pop()->words[0], 2u);
}

TEST(Tracer, SaysNothingUntilSomebodyListens) {
  Tracer tracer;
  RingProbe ring(8);
  EXPECT_FALSE(tracer.on());
  tracer.emit(Instant(1s), Event::kSomething, 7, 1);
  tracer.attach(&ring);
  EXPECT_TRUE(tracer.on());
  tracer.emit(Instant(2s), Event::kSomething, 7, 1, 2, 3, 4);
  tracer.attach(nullptr);
  tracer.emit(Instant(3s), Event::kSomething, 7);
  ASSERT_EQ(ring.size(), 1u);
  const Record& record = ring[0];
  EXPECT_EQ(record.time, Instant(2s));
  EXPECT_EQ(record.event, 0x0501);
  EXPECT_EQ(record.subject, 7u);
  EXPECT_EQ(record.words, (std::array<std::uint64_t, 4>{1, 2, 3, 4}));
}

TEST(TeeProbe, ForwardsToAll) {
  TeeProbe tee;
  tee.on_record(numbered(0));
  RingProbe a(4), b(4);
  EXPECT_TRUE(tee.add(a));
  EXPECT_TRUE(tee.add(b));
  EXPECT_TRUE(tee.add(a)) << "it is there already";
  EXPECT_EQ(tee.size(), 2u);
  tee.on_record(numbered(1));
  tee.remove(a);
  tee.remove(a);
  tee.on_record(numbered(2));
  EXPECT_EQ(a.size(), 1u);
  EXPECT_EQ(b.size(), 2u);
}

TEST(TeeProbe, HasALimit) {
  TeeProbe tee;
  std::array<RingProbe, TeeProbe::kProbesMax + 1> rings = {RingProbe(1), RingProbe(1), RingProbe(1),
                                                           RingProbe(1), RingProbe(1), RingProbe(1),
                                                           RingProbe(1), RingProbe(1), RingProbe(1)};
  for (std::size_t i = 0; i < TeeProbe::kProbesMax; ++i) EXPECT_TRUE(tee.add(rings[i]));
  EXPECT_FALSE(tee.add(rings.back()));
  tee.remove(rings[0]);
  EXPECT_TRUE(tee.add(rings.back()));
}

}  // namespace
}  // namespace tapir::trace
