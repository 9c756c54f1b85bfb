// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace tapir {
namespace {

// Recomputed by hand from the published algorithms, splitmix64 and xoshiro256**, in the plainest form.
std::vector<std::uint64_t> reference(std::uint64_t seed, std::size_t count) {
  std::uint64_t s[4];
  for (std::uint64_t& word : s) {
    std::uint64_t z = (seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    word = z ^ (z >> 31);
  }
  const auto rotl = [](std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  std::vector<std::uint64_t> out;
  while (out.size() < count) {
    out.push_back(rotl(s[1] * 5, 7) * 9);
    const std::uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
  }
  return out;
}

TEST(Rng, IsXoshiro256StarStar) {
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    Rng rng(seed);
    for (const std::uint64_t expected : reference(seed, 100)) ASSERT_EQ(rng.next_u64(), expected);
  }
}

TEST(Rng, StartsFromSplitmix64sPublishedValues) {
  // splitmix64 of seed 0 yields e220a8397b1dcdaf, 6e789e6aa1b965f4; xoshiro's first output is made of the
  // second.
  const std::uint64_t s1 = 0x6e789e6aa1b965f4;
  const std::uint64_t x = s1 * 5;
  EXPECT_EQ(Rng(0).next_u64(), ((x << 7) | (x >> 57)) * 9);
}

TEST(Rng, StaysInRangeAndReachesItsEdges) {
  Rng rng(5);
  std::array<int, 6> seen{};
  for (int i = 0; i < 6000; ++i) ++seen[rng.between(10, 15) - 10];
  for (int n : seen) {
    EXPECT_GT(n, 850);
    EXPECT_LT(n, 1150);
  }
  EXPECT_EQ(rng.below(1), 0u);
  EXPECT_EQ(rng.between(7, 7), 7u);
  rng.between(0, ~std::uint64_t{0});
  // A range of three quarters of 2^64, where a plain remainder would favour the first third by two to one.
  const std::uint64_t quarter = std::uint64_t{1} << 62;
  std::array<int, 3> thirds{};
  for (int i = 0; i < 3000; ++i) ++thirds[rng.below(3 * quarter) / quarter];
  for (int n : thirds) EXPECT_NEAR(n, 1000, 120);
}

TEST(Rng, ChanceIsInPartsPerMillion) {
  Rng rng(9);
  int hits = 0;
  for (int i = 0; i < 100'000; ++i) hits += rng.chance_ppm(50'000) ? 1 : 0;
  EXPECT_NEAR(hits, 5000, 300);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(rng.chance_ppm(0));
    EXPECT_TRUE(rng.chance_ppm(1'000'000));
  }
}

TEST(Rng, ForksAreTheirOwnStreams) {
  const Rng parent(1);
  Rng a = parent.fork(1);
  Rng again = parent.fork(1);
  Rng b = parent.fork(2);
  Rng other = Rng(2).fork(1);
  const std::uint64_t first = a.next_u64();
  EXPECT_EQ(first, again.next_u64());
  EXPECT_NE(first, b.next_u64());
  EXPECT_NE(first, other.next_u64());
  EXPECT_NE(first, Rng(1).next_u64());
}

TEST(Rng, FillsAnyLength) {
  Rng rng(4);
  for (std::size_t length = 0; length < 20; ++length) {
    std::vector<std::uint8_t> bytes(length + 1, 0);
    rng.fill(MutableBytes(bytes).first(length));
    EXPECT_EQ(bytes[length], 0);
  }
  Rng words(8), bytes(8);
  std::array<std::uint8_t, 8> out{};
  bytes.fill(out);
  EXPECT_EQ(to_big_endian(load_be<std::uint64_t>(out, 0)), words.next_u64()) << "little-endian words";
}

}  // namespace
}  // namespace tapir
