// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"

namespace tapir {
namespace {

TEST(Bytes, NumbersAreBigEndian) {
  std::array<std::uint8_t, 8> bytes{};
  store_be<std::uint32_t>(bytes, 1, 0x01020304);
  EXPECT_EQ(bytes, (std::array<std::uint8_t, 8>{0, 1, 2, 3, 4, 0, 0, 0}));
  EXPECT_EQ(load_be<std::uint16_t>(bytes, 2), 0x0203);
  EXPECT_EQ(load_be<std::uint8_t>(bytes, 4), 4);
  EXPECT_EQ(load_be<std::uint64_t>(bytes, 0), 0x0001020304000000u);
}

TEST(BytesDeath, AWrongOffsetIsOurBug) {
  std::array<std::uint8_t, 3> bytes{};
  EXPECT_DEATH(load_be<std::uint32_t>(bytes, 0), "load_be stays inside");
  EXPECT_DEATH(store_be<std::uint16_t>(bytes, 2, 1), "store_be stays inside");
}

TEST(ByteReader, NeverReadsPastTheEnd) {
  const std::array<std::uint8_t, 5> bytes = {1, 2, 3, 4, 5};
  ByteReader reader(bytes);
  EXPECT_EQ(reader.take_be<std::uint16_t>(), 0x0102);
  EXPECT_EQ(reader.take_be<std::uint32_t>(), std::nullopt);
  EXPECT_EQ(reader.position(), 2u) << "nothing was consumed";
  EXPECT_EQ(reader.take(4), std::nullopt);
  EXPECT_EQ(reader.take(0)->size(), 0u);
  const auto rest = reader.take(3);
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ((*rest)[2], 5);
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_EQ(reader.take_be<std::uint8_t>(), std::nullopt);
}

TEST(SeqNum, ComparesAcrossTheWraps) {
  for (const std::uint32_t start : {0u, 0x7ffffff0u, 0x80000000u, 0xfffffff0u}) {
    const SeqNum a(start);
    EXPECT_LT(a, a + 1);
    EXPECT_LT(a, a + 0x7fffffff);
    EXPECT_GT(a, a - 1);
    EXPECT_LE(a, a);
    EXPECT_GE(a + 20, a);
    EXPECT_EQ((a + 100) - a, 100u);
    EXPECT_EQ(max(a, a + 5), a + 5);
    EXPECT_EQ(min(a, a + 5), a);
    EXPECT_EQ((SeqRange{a, a + 7}.length()), 7u);
  }
}

TEST(Time, LaterSaturates) {
  EXPECT_EQ(later(Instant{}, 5s), Instant(5s));
  EXPECT_EQ(later(kNever, 5s), kNever);
  EXPECT_EQ(later(kNever - 1s, 2s), kNever);
  EXPECT_EQ(later(kNever - 3s, 2s), kNever - 1s);
}

}  // namespace
}  // namespace tapir
