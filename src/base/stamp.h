// SPDX-License-Identifier: Apache-2.0
// Times in 32 bits, for what a stack has one of per connection.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace tapir::inline base {

// A moment of the past (Linux: tcp_jiffies32). Unit: what is kept of the moment; the rest is cut off. It
// comes round after 2^32 units (milliseconds: 49 days), so what is asked of it must be content with that: an
// older moment seems younger than it is.
template <typename Unit>
class Stamp {
 public:
  Stamp() = default;  // of no moment
  explicit Stamp(Instant t) : units_(units(t)) {}

  bool set() const { return units_ != 0; }
  // The moment again, to the unit. `now`: not before it.
  Instant at(Instant now) const {
    return std::chrono::floor<Unit>(now) - Unit(static_cast<std::uint32_t>(units(now) - units_));
  }
  Duration age(Instant now) const { return now - at(now); }

 private:
  // Counted from 1; zero is kept for none.
  static std::uint32_t units(Instant t) {
    const auto count = static_cast<std::uint32_t>(std::chrono::floor<Unit>(t).time_since_epoch().count() + 1);
    return count != 0 ? count : 1;
  }

  std::uint32_t units_ = 0;
};

using StampUs = Stamp<std::chrono::microseconds>;
using StampMs = Stamp<std::chrono::milliseconds>;
using StampS = Stamp<std::chrono::seconds>;

// Up to 71 minutes, in microseconds.
using ShortDuration = std::chrono::duration<std::uint32_t, std::micro>;

// `d` (not negative, not longer than a ShortDuration can be) without what is below a microsecond.
constexpr ShortDuration shorten(Duration d) { return std::chrono::duration_cast<ShortDuration>(d); }

}  // namespace tapir::inline base
