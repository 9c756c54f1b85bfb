// SPDX-License-Identifier: Apache-2.0
// The one clock of a running stack. Read once per turn and per call, never per packet.
#pragma once

#include <time.h>

#include <cstdint>

#include "base/time.h"

namespace tapir::runtime {

// CLOCK_MONOTONIC: an Instant counts from the machine's start.
inline Instant monotonic_now() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return Instant(Duration(std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec));
}

// What to add to an Instant of monotonic_now(), in nanoseconds, for the time since 1970.
inline std::uint64_t wall_clock_offset_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec) -
         to_nsec(monotonic_now());
}

// `d` for the kernel; a negative one is no time at all.
inline timespec to_timespec(Duration d) {
  if (d < Duration::zero()) d = Duration::zero();
  return {static_cast<time_t>(d.count() / 1'000'000'000), static_cast<long>(d.count() % 1'000'000'000)};
}

}  // namespace tapir::runtime
