// SPDX-License-Identifier: Apache-2.0
// Protection against wrapped sequence numbers (RFC 7323 §5), and the clock of timestamps.
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"

namespace tapir::tcp {

// A remembered timestamp older than this proves nothing: the peer's clock may have gone half round (RFC 7323
// §5.5).
inline constexpr Duration kPawsIdle = std::chrono::hours(24 * 24);
// A RST may carry an old timestamp when nothing was heard for so long (Linux: TCP_PAWS_MSL).
inline constexpr Duration kPawsResetAge = 60s;

// Milliseconds, as Linux's tcp_clock_ms; each connection adds its own offset.
constexpr std::uint32_t timestamp_clock(Instant now) {
  return static_cast<std::uint32_t>(to_nsec(now) / 1'000'000);
}

// True when TSval `value` says that the segment is an old duplicate; `age` is that of `recent` (Linux:
// tcp_paws_reject).
constexpr bool paws_reject(std::uint32_t recent, Duration age, std::uint32_t value, bool rst) {
  if (static_cast<std::int32_t>(recent - value) <= 0 || age >= kPawsIdle || recent == 0) return false;
  return !(rst && age >= kPawsResetAge);
}

// RFC 9293 §3.10.7.4's acceptability, as Linux's tcp_in_window asks it of the small records.
constexpr bool in_window(SeqRange segment, SeqNum rcv_nxt, std::uint32_t window) {
  if (segment.begin == rcv_nxt) return true;
  const SeqNum edge = rcv_nxt + window;
  if (segment.end > rcv_nxt && segment.begin < edge) return true;
  return segment.begin == edge && segment.empty();
}

}  // namespace tapir::tcp
