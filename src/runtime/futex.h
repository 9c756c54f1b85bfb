// SPDX-License-Identifier: Apache-2.0
// What a sleeping call sleeps on: a word, woken once.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/time.h"

namespace tapir::runtime {

class Futex {
 public:
  enum class Outcome : unsigned char { kWoken, kDeadline, kInterrupted };

  // Before a sleep that others may end.
  void arm() { word_.store(0, std::memory_order_relaxed); }
  // Lets the sleeper, now or later, go on; wake() must follow.
  void post() { word_.store(1, std::memory_order_release); }
  bool posted() const { return word_.load(std::memory_order_acquire) != 0; }
  // Sleeps until posted, or `deadline` of CLOCK_MONOTONIC, or a signal.
  Outcome wait(Instant deadline);
  // Wakes the sleeper of the futex at this address. It may be gone: nothing is read or written there.
  static void wake(const Futex* futex);

 private:
  std::atomic<std::uint32_t> word_ = 0;
};

}  // namespace tapir::runtime
