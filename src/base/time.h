// SPDX-License-Identifier: Apache-2.0
// Time as the stack sees it: a value handed in, never read.
#pragma once

#include <chrono>
#include <cstdint>

namespace tapir::inline base {

using namespace std::chrono_literals;

// A span of time in nanoseconds.
using Duration = std::chrono::nanoseconds;

// The stack's time line. It has no now(): only runtime/ and sim/ know what time it is, and pass it down.
struct StackClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<StackClock, Duration>;
  static constexpr bool is_steady = true;
};

// A point in time, monotonic. Its zero is whatever the caller chose; only differences mean something.
using Instant = StackClock::time_point;

// "No deadline": later than every other instant.
inline constexpr Instant kNever = Instant::max();

constexpr std::uint64_t to_usec(Duration d) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}
constexpr std::uint64_t to_msec(Duration d) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}
constexpr std::uint64_t to_nsec(Instant t) {
  return static_cast<std::uint64_t>(t.time_since_epoch().count());
}

// `t + d`, saturating at kNever.
constexpr Instant later(Instant t, Duration d) {
  return d > Duration::zero() && t >= kNever - d ? kNever : t + d;
}

}  // namespace tapir::inline base
