// SPDX-License-Identifier: Apache-2.0
// Random numbers that replay from a seed, the same on every machine. Not for secrets: those come from
// runtime's entropy.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace tapir::inline base {

// xoshiro256** (Blackman and Vigna), its state filled from the seed by splitmix64.
class Rng {
 public:
  explicit Rng(std::uint64_t seed);

  std::uint64_t next_u64();
  std::uint32_t next_u32() { return static_cast<std::uint32_t>(next_u64() >> 32); }
  // Uniform in [0, n), without bias; n >= 1.
  std::uint64_t below(std::uint64_t n);
  // Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high);
  // True `ppm` times in a million.
  bool chance_ppm(std::uint32_t ppm) { return below(1'000'000) < ppm; }
  void fill(MutableBytes out);
  // A generator of its own for `stream`. Depends on this one's state and leaves it alone, so that adding a
  // consumer does not change what the others see.
  Rng fork(std::uint64_t stream) const;

 private:
  std::array<std::uint64_t, 4> state_;
};

}  // namespace tapir::inline base
