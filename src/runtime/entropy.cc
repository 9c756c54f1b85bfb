// SPDX-License-Identifier: Apache-2.0
#include "runtime/entropy.h"

#include <sys/random.h>

#include "base/assert.h"

namespace tapir::runtime {

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  while (seed == 0) {
    // Up to 256 bytes it is never interrupted once the pool is initialised; before, it may be.
    const ssize_t got = ::getrandom(&seed, sizeof seed, 0);
    TAPIR_INVARIANT(got == static_cast<ssize_t>(sizeof seed) || got < 0, "getrandom answers whole");
  }
  return seed;
}

}  // namespace tapir::runtime
