// SPDX-License-Identifier: Apache-2.0
#include "base/timer_wheel.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace tapir::inline base {

TimerWheel::TimerWheel(Instant start) : position_(tick_of(start)) {
  for (TimerLink& slot : slots_) slot.prev = slot.next = &slot;
  ready_.prev = ready_.next = &ready_;
}

TimerWheel::~TimerWheel() {
  const auto let_go = [](TimerLink& slot) {
    for (TimerLink* link = slot.next; link != &slot;) {
      TimerLink* next = link->next;
      link->prev = link->next = nullptr;
      link = next;
    }
  };
  for (TimerLink& slot : slots_) let_go(slot);
  let_go(ready_);
}

// Instants are signed; with the sign bit turned over they sort as unsigned numbers.
std::uint64_t TimerWheel::tick_of(Instant t) {
  return (static_cast<std::uint64_t>(t.time_since_epoch().count()) ^ std::uint64_t{1} << 63) >> kTickBits;
}

Instant TimerWheel::time_of(std::uint64_t tick) {
  return Instant(Duration(static_cast<std::int64_t>(tick << kTickBits ^ std::uint64_t{1} << 63)));
}

std::uint32_t TimerWheel::order_of(const TimerEntry& timer) {
  return static_cast<std::uint32_t>(timer.order_high) << 16 | timer.order_low;
}

bool TimerWheel::fires_before(const TimerEntry& a, const TimerEntry& b) {
  if (a.deadline != b.deadline) return a.deadline < b.deadline;
  // On the circle of 24 bits, as sequence numbers.
  return static_cast<std::int32_t>((order_of(a) - order_of(b)) << 8) < 0;
}

void TimerWheel::arm(TimerEntry& timer, Instant deadline) {
  if (deadline == kNever) {
    cancel(timer);
    return;
  }
  ++armings_;
  timer.order_high = static_cast<std::uint8_t>(armings_ >> 16);
  timer.order_low = static_cast<std::uint16_t>(armings_);
  if (timer.armed()) {
    if (timer.deadline <= earliest_ && deadline > timer.deadline) earliest_known_ = false;
    // A timer in the ready list has its place among the others by its deadline, so it has to move.
    if (deadline >= timer.deadline && tick_of(timer.deadline) > position_) {
      timer.deadline = deadline;
      return;
    }
    unlink(timer);
  } else {
    ++size_;
  }
  timer.deadline = deadline;
  insert(timer);
  if (deadline < earliest_) earliest_ = deadline;
}

void TimerWheel::cancel(TimerEntry& timer) {
  if (!timer.armed()) return;
  unlink(timer);
  --size_;
  // An early bound names no timer: with the last timer gone nothing else would take it back.
  if (timer.deadline <= earliest_ || size_ == 0) earliest_known_ = false;
  timer.deadline = kNever;
}

void TimerWheel::append(TimerLink& slot, TimerEntry& timer) {
  timer.prev = slot.prev;
  timer.next = &slot;
  slot.prev->next = &timer;
  slot.prev = &timer;
}

void TimerWheel::insert(TimerEntry& timer) {
  const std::uint64_t tick = tick_of(timer.deadline);
  if (tick <= position_) {
    insert_ready(timer);
    return;
  }
  const std::size_t level = static_cast<std::size_t>(63 - std::countl_zero(tick ^ position_)) / kSlotBits;
  const std::size_t slot = tick >> (kSlotBits * level) & (kSlots - 1);
  append(slots_[level * kSlots + slot], timer);
  occupied_[level] |= std::uint64_t{1} << slot;
}

void TimerWheel::insert_ready(TimerEntry& timer) {
  TimerLink* after = ready_.prev;
  while (after != &ready_ && fires_before(timer, *static_cast<TimerEntry*>(after))) after = after->prev;
  append(*after->next, timer);
}

void TimerWheel::unlink(TimerEntry& timer) {
  timer.prev->next = timer.next;
  timer.next->prev = timer.prev;
  // The last one out: its neighbour on both sides is the slot itself.
  if (timer.prev == timer.next && timer.next != &ready_) {
    const TimerLink* neighbour = timer.next;
    if (neighbour->next == neighbour) {
      const auto index = static_cast<std::size_t>(neighbour - slots_.data());
      occupied_[index / kSlots] &= ~(std::uint64_t{1} << (index % kSlots));
    }
  }
  timer.prev = timer.next = nullptr;
}

bool TimerWheel::first_occupied(Place& place) const {
  place = {0, 0, 0};
  while (place.level < kLevels && occupied_[place.level] == 0) ++place.level;
  if (place.level == kLevels) return false;
  place.slot = static_cast<std::size_t>(std::countr_zero(occupied_[place.level]));
  const unsigned shift = static_cast<unsigned>(kSlotBits * place.level);
  // The window of this level is that of position_; within, slots come in order (all behind position_'s own).
  place.start = (position_ >> shift & ~(kSlots - 1)) << shift | static_cast<std::uint64_t>(place.slot)
                                                                    << shift;
  return true;
}

// Slots of a lower level all begin before those of a higher one.
bool TimerWheel::next_occupied(Place& place) const {
  std::uint64_t behind =
      place.slot + 1 == kSlots ? 0 : occupied_[place.level] >> (place.slot + 1) << (place.slot + 1);
  while (behind == 0) {
    if (++place.level == kLevels) return false;
    behind = occupied_[place.level];
  }
  place.slot = static_cast<std::size_t>(std::countr_zero(behind));
  const unsigned shift = static_cast<unsigned>(kSlotBits * place.level);
  place.start = (position_ >> shift & ~(kSlots - 1)) << shift | static_cast<std::uint64_t>(place.slot)
                                                                    << shift;
  return true;
}

// Time reaches `place`: its timers go where they belong now.
void TimerWheel::enter(const Place& place) {
  position_ = place.start;
  earliest_known_ = false;
  TimerLink& slot = slots_[place.level * kSlots + place.slot];
  TimerLink* link = slot.next;
  slot.prev->next = nullptr;
  slot.prev = slot.next = &slot;
  occupied_[place.level] &= ~(std::uint64_t{1} << place.slot);
  TimerEntry* due = nullptr;
  while (link != nullptr) {
    TimerEntry& timer = *static_cast<TimerEntry*>(link);
    link = link->next;
    if (tick_of(timer.deadline) > position_) {
      insert(timer);
    } else {
      timer.next = due;
      due = &timer;
    }
  }
  // Whatever was ready before fires earlier: its tick is over.
  for (TimerLink* at = sorted(due); at != nullptr;) {
    TimerLink* next = at->next;
    append(ready_, *static_cast<TimerEntry*>(at));
    at = next;
  }
}

// Merge sort of a chain linked by `next` and ended by null. No recursion, no memory: runs[i] holds 2^i timers
// or none.
TimerEntry* TimerWheel::sorted(TimerEntry* chain) {
  const auto merge = [](TimerEntry* a, TimerEntry* b) {
    TimerLink head;
    TimerLink* tail = &head;
    while (a != nullptr && b != nullptr) {
      TimerEntry*& first = fires_before(*b, *a) ? b : a;
      tail->next = first;
      tail = first;
      first = static_cast<TimerEntry*>(first->next);
    }
    tail->next = a != nullptr ? a : b;
    return static_cast<TimerEntry*>(head.next);
  };
  std::array<TimerEntry*, 32> runs{};
  while (chain != nullptr) {
    TimerEntry* run = chain;
    chain = static_cast<TimerEntry*>(chain->next);
    run->next = nullptr;
    std::size_t i = 0;
    for (; i + 1 < runs.size() && runs[i] != nullptr; ++i) {
      run = merge(runs[i], run);
      runs[i] = nullptr;
    }
    runs[i] = runs[i] == nullptr ? run : merge(runs[i], run);
  }
  TimerEntry* all = nullptr;
  for (TimerEntry* run : runs)
    if (run != nullptr) all = all == nullptr ? run : merge(run, all);
  return all;
}

Instant TimerWheel::find_earliest() const {
  if (ready_.next != &ready_) return static_cast<const TimerEntry*>(ready_.next)->deadline;
  Instant best = kNever;
  std::size_t looked_at = 0;
  Place place;
  for (bool more = first_occupied(place); more; more = next_occupied(place)) {
    const Instant start = time_of(place.start);
    if (best < start) return best;
    const TimerLink& slot = slots_[place.level * kSlots + place.slot];
    for (const TimerLink* link = slot.next; link != &slot; link = link->next) {
      if (++looked_at > kExactScan) return std::min(best, start);
      best = std::min(best, static_cast<const TimerEntry*>(link)->deadline);
    }
  }
  return best;
}

Instant TimerWheel::next_deadline() const {
  if (!earliest_known_) {
    earliest_ = find_earliest();
    earliest_known_ = true;
  }
  return earliest_;
}

TimerEntry* TimerWheel::pop_expired(Instant now) {
  const std::uint64_t now_tick = tick_of(now);
  // A bound that has been reached is of no more use; the exact answer was popped or is now nearer.
  if (earliest_ <= now) earliest_known_ = false;
  while (ready_.next == &ready_) {
    Place place;
    if (!first_occupied(place) || place.start > now_tick) {
      position_ = std::max(position_, now_tick);
      return nullptr;
    }
    enter(place);
  }
  TimerEntry& timer = *static_cast<TimerEntry*>(ready_.next);
  if (timer.deadline > now) return nullptr;
  cancel(timer);
  return &timer;
}

}  // namespace tapir::inline base
