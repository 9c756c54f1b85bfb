// SPDX-License-Identifier: Apache-2.0
// Bytes that are pointed at instead of copied, until they are not needed any more.
#pragma once

#include <cstddef>

namespace tapir::inline base {

// Kept by who lends bytes, beside them: they must stay where they are while `users` is not 0. Guarded by whatever guards
// those who borrow.
struct Loan {
  std::size_t users = 0;   // buffers that point at the bytes
};

// What is borrowed at a time is at least so many bytes: pieces must not become so small that a frame cannot point at all of
// them (kOutgoingSpansMax), and less is copied as fast.
inline constexpr std::size_t kLoanMin = 16384;

}  // namespace tapir::inline base
