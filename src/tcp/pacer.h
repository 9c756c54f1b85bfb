// SPDX-License-Identifier: Apache-2.0
// When the next segment may leave, so that a window is spread over the round trip (Linux:
// tcp_update_skb_after_send).
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace tapir::tcp {

// Segments at the start of a connection that leave at once (Linux: "sch_fq does not pace first 10 MSS").
inline constexpr std::uint32_t kUnpacedSegments = 10;

class Pacer {
 public:
  bool holds(Instant now) const { return next_ > now; }
  Instant next() const { return next_; }
  // `bytes` left at `now`; `rate` in bytes per second. A pause before is credit for at most half of the gap.
  void on_sent(std::uint32_t bytes, std::uint64_t rate, Instant now) {
    const Duration pause = now > next_ ? now - next_ : Duration::zero();
    next_ = std::max(next_, now);
    if (rate == 0 || rate == ~std::uint64_t{0}) return;
    Duration gap = std::chrono::nanoseconds(std::uint64_t{bytes} * 1000000000 / rate);
    gap -= std::min(gap / 2, pause);
    next_ += gap;
  }

 private:
  Instant next_{};
};

}  // namespace tapir::tcp
