// SPDX-License-Identifier: Apache-2.0
// All deadlines of a stack, sorted: a hierarchical timer wheel with exact deadlines.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace tapir::inline base {

// The places of the timers in a list; a slot of the wheel is the link before its first and after its last
// timer.
struct TimerLink {
  TimerLink* prev = nullptr;
  TimerLink* next = nullptr;
};

// A timer: part of the object it belongs to, which cancels it before it dies or moves. 32 bytes.
struct TimerEntry : TimerLink {
  Instant deadline = kNever;    // when it fires; kNever while not armed. Only the wheel writes it.
  std::uint32_t owner = 0;      // whose it is: the owner's index, for whoever pops it
  std::uint8_t kind = 0;        // what it is for, likewise
  std::uint8_t order_high = 0;  // the wheel's count of armings, 24 bits: the order of equal deadlines
  std::uint16_t order_low = 0;

  bool armed() const { return next != nullptr; }
};
static_assert(sizeof(TimerEntry) <= 32);

// arm() and cancel() as things happen; at any time next_deadline() says when to come back; then
// pop_expired(now) until it answers null. A popped timer is not armed, and may be armed again at once.
//
// Level 0 has 64 slots of 2^16 ns (66 µs), each level above it slots 64 times as long: eight levels hold
// every Instant.
//
//   now (position_)        level 0: the 64 slots of 66 µs around it       (a window of 4.2 ms)
//      v                   level 1: the 64 slots of 4.2 ms around those   (0.27 s)
//   ...|####|....          level 2: 0.27 s (17 s)   level 3: 17 s (18 min)   level 4: 18 min (19 h) ...
//
// A timer lies at the lowest level whose window around position_ has its deadline. When position_ enters a
// slot, the slot's timers move down; from level 0 they come, sorted, into the ready list. So arming and
// cancelling is O(1), a timer moves at most eight times, and only timers of the same 66 µs are ever compared.
// Invariant: no occupied slot begins at or before position_. A timer lies at or before its deadline's place:
// arming again for later only writes the deadline, and the timer moves when its old slot's time comes.
class TimerWheel {
 public:
  // `start`: about now; a wheel started far off its first timers moves them once more.
  explicit TimerWheel(Instant start = Instant{});
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  // Lets go of timers that are still armed; they must be alive, as armed timers always are.
  ~TimerWheel();

  // Sets `timer` to fire at `deadline`, whether it was armed or not; kNever cancels. A deadline in the past
  // fires at the next pop_expired(). O(1), except among timers of the current 66 µs.
  void arm(TimerEntry& timer, Instant deadline);
  // No effect on a timer that is not armed. O(1).
  void cancel(TimerEntry& timer);

  // The earliest deadline, kNever without timers. Exact while at most kExactScan timers compete for being the
  // earliest; beyond, it may be early (never late): then pop_expired() answers null, and the next answer is
  // nearer. Bounded work.
  Instant next_deadline() const;
  // The timer with the earliest deadline <= `now`, disarmed; equal deadlines in the order of arming (exact
  // among the last 2^23 armings). Null when there is none. `now` should not go backwards; if it does, nothing
  // fires early.
  TimerEntry* pop_expired(Instant now);

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Timers that next_deadline() looks at before it settles for a bound: a thousand re-armed timers must not
  // make each call look at them all.
  static constexpr std::size_t kExactScan = 32;

 private:
  static constexpr unsigned kTickBits = 16;
  static constexpr unsigned kSlotBits = 6;
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
  static constexpr std::size_t kLevels = 8;

  struct Place {
    std::size_t level;
    std::size_t slot;
    std::uint64_t start;  // the tick at which it begins
  };

  static std::uint64_t tick_of(Instant t);
  static Instant time_of(std::uint64_t tick);
  static std::uint32_t order_of(const TimerEntry& timer);
  static bool fires_before(const TimerEntry& a, const TimerEntry& b);
  static TimerEntry* sorted(TimerEntry* chain);
  static void append(TimerLink& slot, TimerEntry& timer);

  // The occupied slot that begins first, after `from`; false when there is none.
  bool first_occupied(Place& place) const;
  bool next_occupied(Place& place) const;
  void insert(TimerEntry& timer);
  void insert_ready(TimerEntry& timer);
  void unlink(TimerEntry& timer);
  void enter(const Place& place);
  Instant find_earliest() const;

  std::array<TimerLink, kLevels * kSlots> slots_;
  std::array<std::uint64_t, kLevels> occupied_{};  // a bit per slot that is not empty
  TimerLink ready_;                                // timers up to position_'s tick, in the order of firing
  std::uint64_t position_;                         // the tick up to which time has passed
  std::uint32_t armings_ = 0;                      // counts arm(), 24 bits of it matter
  std::size_t size_ = 0;
  mutable Instant earliest_ = kNever;  // what next_deadline() last found
  mutable bool earliest_known_ = true;
};

}  // namespace tapir::inline base
