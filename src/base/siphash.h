// SPDX-License-Identifier: Apache-2.0
// SipHash (Aumasson and Bernstein): a keyed hash whose values an attacker who lacks the key cannot steer or
// predict.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace tapir::inline base {

// 128 secret bits. One per purpose and stack, from the stack's entropy.
struct SipKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
  friend constexpr bool operator==(const SipKey&, const SipKey&) = default;
};

// The running state: words in, a hash out. `CompressRounds` and `FinalRounds` are the c and d of SipHash-c-d.
template <int CompressRounds, int FinalRounds>
class SipHasher {
 public:
  constexpr explicit SipHasher(SipKey key)
      : v0_(key.k0 ^ 0x736f6d6570736575),
        v1_(key.k1 ^ 0x646f72616e646f6d),
        v2_(key.k0 ^ 0x6c7967656e657261),
        v3_(key.k1 ^ 0x7465646279746573) {}

  constexpr void add(std::uint64_t word) {
    v3_ ^= word;
    for (int i = 0; i < CompressRounds; ++i) round();
    v0_ ^= word;
  }
  // `last` holds the 0–7 bytes after the whole words, little-endian, and the length of it all modulo 256 in
  // its top byte.
  constexpr std::uint64_t finish(std::uint64_t last) {
    add(last);
    v2_ ^= 0xff;
    for (int i = 0; i < FinalRounds; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  constexpr void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
};

// SipHash-1-3: for tables, where a hash is never shown to anyone (Linux's hsiphash).
std::uint64_t siphash_1_3(SipKey key, Bytes bytes);
// SipHash-2-4: for values that leave the machine (ISNs, cookies, timestamp offsets, ports).
std::uint64_t siphash_2_4(SipKey key, Bytes bytes);

// The same over words: the hash of their little-endian bytes.
template <std::size_t N>
constexpr std::uint64_t siphash_1_3(SipKey key, const std::array<std::uint64_t, N>& words) {
  SipHasher<1, 3> hasher(key);
  for (std::uint64_t word : words) hasher.add(word);
  return hasher.finish(static_cast<std::uint64_t>(N * 8) << 56);
}
template <std::size_t N>
constexpr std::uint64_t siphash_2_4(SipKey key, const std::array<std::uint64_t, N>& words) {
  SipHasher<2, 4> hasher(key);
  for (std::uint64_t word : words) hasher.add(word);
  return hasher.finish(static_cast<std::uint64_t>(N * 8) << 56);
}

}  // namespace tapir::inline base
