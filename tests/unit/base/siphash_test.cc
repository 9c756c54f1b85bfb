// SPDX-License-Identifier: Apache-2.0
#include "base/siphash.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace tapir {
namespace {

constexpr SipKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

std::vector<std::uint8_t> counting(std::size_t length) {
  std::vector<std::uint8_t> bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

// The vectors of the reference implementation: key 00 01 … 0f, messages empty, 00, 00 01, …
TEST(SipHash, AgreesWithThePublishedVectorsOf24) {
  constexpr std::array<std::uint64_t, 16> kExpected = {
      0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
      0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
      0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
      0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5};
  for (std::size_t length = 0; length < kExpected.size(); ++length)
    EXPECT_EQ(siphash_2_4(kKey, counting(length)), kExpected[length]) << length;
}

TEST(SipHash, AgreesWithThePublishedVectorsOf13) {
  constexpr std::array<std::uint64_t, 4> kExpected = {0xabac0158050fc4dc, 0xc9f49bf37d57ca93,
                                                      0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb};
  for (std::size_t length = 0; length < kExpected.size(); ++length)
    EXPECT_EQ(siphash_1_3(kKey, counting(length)), kExpected[length]) << length;
}

TEST(SipHash, OfWordsIsThatOfTheirLittleEndianBytes) {
  constexpr std::array<std::uint64_t, 3> kWords = {0x0706050403020100, 0x0f0e0d0c0b0a0908,
                                                   0x1716151413121110};
  static_assert(siphash_2_4(kKey, kWords) != siphash_1_3(kKey, kWords));
  EXPECT_EQ(siphash_2_4(kKey, kWords), siphash_2_4(kKey, counting(24)));
  EXPECT_EQ(siphash_1_3(kKey, kWords), siphash_1_3(kKey, counting(24)));
}

TEST(SipHash, DependsOnEveryBitOfTheKey) {
  const std::uint64_t base = siphash_1_3(kKey, counting(12));
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(siphash_1_3({kKey.k0 ^ std::uint64_t{1} << bit, kKey.k1}, counting(12)), base);
    EXPECT_NE(siphash_1_3({kKey.k0, kKey.k1 ^ std::uint64_t{1} << bit}, counting(12)), base);
  }
}

}  // namespace
}  // namespace tapir
