// SPDX-License-Identifier: Apache-2.0
// Keeps what a scenario does away from the stack's own timers: a kernel's come some milliseconds late, and
// what is done next to one would come first on one stack and second on the other.
#pragma once

#include <algorithm>

#include "base/time.h"
#include "scenarios/recorder.h"

namespace tapir::scenarios {

// How late a kernel's timer may be that was waited for so long: a tick (4 ms at HZ = 250), and from 256 ms
// and from 2 s on the timer wheel's steps of 8 and of 64 ticks.
inline Duration slack_of(Duration wait) {
  if (wait < 200ms) return 14ms;
  return wait < 1800ms ? 48ms : 300ms;
}
inline constexpr Duration kBeforeTimer = 6ms;
// Two things are never done at the same time: in real time one is later, and that may matter; most of all
// beyond the millisecond for which a sender gathers a super-segment (tcp_tso_should_defer).
inline constexpr Duration kApart = 2500us;

// Lets the time pass to `at`, or later when a timer of the stack is due about then. What time it is.
inline Duration advance_calmly(Recorder& recorder, Duration at) {
  for (;;) {
    const Duration timer = recorder.next_timeout();
    if (timer > at + kBeforeTimer) break;
    at = std::max(at, timer + slack_of(timer - recorder.last_event()));
    recorder.advance_to(timer);
  }
  recorder.advance_to(std::max(at, recorder.now()));
  return recorder.now();
}

}  // namespace tapir::scenarios
