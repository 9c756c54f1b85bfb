// SPDX-License-Identifier: Apache-2.0
#include "runtime/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/clock.h"

namespace tapir::runtime {

Futex::Outcome Futex::wait(Instant deadline) {
  const timespec until = to_timespec(deadline.time_since_epoch());
  while (!posted()) {
    // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC.
    const long result = ::syscall(SYS_futex, &word_, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
                                  deadline == kNever ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (result == 0 || errno == EAGAIN) continue;
    if (posted()) break;
    return errno == ETIMEDOUT ? Outcome::kDeadline : Outcome::kInterrupted;
  }
  return Outcome::kWoken;
}

void Futex::wake(const Futex* futex) {
  ::syscall(SYS_futex, futex, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
}

}  // namespace tapir::runtime
