// SPDX-License-Identifier: Apache-2.0
// Assertions of our own invariants. They stay on in release builds, and may speak only of state that no peer
// can write.
#pragma once

namespace tapir::inline base {

// Prints the broken invariant and aborts.
[[noreturn]] void invariant_failed(const char* condition, const char* meaning, const char* file,
                                   int line) noexcept;

}  // namespace tapir::inline base

// Aborts with `meaning` unless `condition` holds. Always on.
#define TAPIR_INVARIANT(condition, meaning)                                       \
  do {                                                                            \
    if (!(condition)) [[unlikely]]                                                \
      ::tapir::base::invariant_failed(#condition, (meaning), __FILE__, __LINE__); \
  } while (false)
