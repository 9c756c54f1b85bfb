// SPDX-License-Identifier: Apache-2.0
// Bytes that are pointed at instead of copied, until they are not needed any more.
#pragma once

#include <cstddef>
#include <utility>

namespace tapir::inline base {

// Kept by who lends bytes, beside them: they must stay where they are while `users` is not 0. Guarded by
// whatever guards those who borrow.
struct Loan {
  std::size_t users = 0;   // buffers that point at the bytes
  Loan** ended = nullptr;  // the list that the loan joins when its last user goes; null: nobody is told
  Loan* next = nullptr;    // there

  void end_use() {
    if (--users == 0 && ended != nullptr) next = std::exchange(*ended, this);
  }
};

// What is borrowed at a time is at least so many bytes: pieces must not become so small that a frame cannot
// point at all of them (kOutgoingSpansMax), and less is copied as fast.
inline constexpr std::size_t kLoanMin = 16384;

}  // namespace tapir::inline base
