// SPDX-License-Identifier: Apache-2.0
#include "base/rng.h"

#include <bit>

namespace tapir::inline base {
namespace {

std::uint64_t splitmix64(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Rng::Rng(std::uint64_t seed) {
  for (std::uint64_t& word : state_) word = splitmix64(seed);
}

std::uint64_t Rng::next_u64() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Rng::below(std::uint64_t n) {
  TAPIR_INVARIANT(n != 0, "a range of random numbers has at least one");
  // The lowest 2^64 mod n values are rejected, so that every remainder is equally likely.
  const std::uint64_t rejected = (0 - n) % n;
  std::uint64_t value = next_u64();
  while (value < rejected) value = next_u64();
  return value % n;
}

std::uint64_t Rng::between(std::uint64_t low, std::uint64_t high) {
  TAPIR_INVARIANT(low <= high, "a range of random numbers is in order");
  const std::uint64_t span = high - low + 1;
  return span == 0 ? next_u64() : low + below(span);
}

void Rng::fill(MutableBytes out) {
  std::size_t at = 0;
  while (at < out.size()) {
    std::uint64_t word = next_u64();
    for (int i = 0; i < 8 && at < out.size(); ++i, word >>= 8) out[at++] = static_cast<std::uint8_t>(word);
  }
}

Rng Rng::fork(std::uint64_t stream) const {
  std::uint64_t seed = stream;
  for (std::uint64_t word : state_) {
    seed = splitmix64(seed) ^ word;
  }
  return Rng(seed);
}

}  // namespace tapir::inline base
