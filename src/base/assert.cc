// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace tapir::inline base {

void invariant_failed(const char* condition, const char* meaning, const char* file, int line) noexcept {
  std::fprintf(stderr, "tapir: broken invariant: %s (%s) at %s:%d\n", meaning, condition, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace tapir::inline base
