// SPDX-License-Identifier: Apache-2.0
#include "base/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace tapir {
namespace {

Instant at(Duration d) { return Instant(d); }

TEST(TimerWheel, AnswersNothingWhenEmpty) {
  TimerWheel wheel;
  EXPECT_TRUE(wheel.empty());
  EXPECT_EQ(wheel.next_deadline(), kNever);
  EXPECT_EQ(wheel.pop_expired(at(24h)), nullptr);
}

TEST(TimerWheel, FiresAtItsDeadlineAndNotANanosecondEarlier) {
  for (const Duration delay : {Duration(1), Duration(65535), Duration(65536), Duration(1ms), Duration(200ms),
                               Duration(1min), Duration(2h), Duration(24h * 40), Duration(24h * 365 * 100)}) {
    TimerWheel wheel;
    TimerEntry timer;
    wheel.arm(timer, at(delay));
    EXPECT_EQ(wheel.next_deadline(), at(delay));
    EXPECT_EQ(wheel.pop_expired(at(delay - 1ns)), nullptr);
    EXPECT_EQ(wheel.next_deadline(), at(delay));
    EXPECT_EQ(wheel.pop_expired(at(delay)), &timer);
    EXPECT_FALSE(timer.armed());
    EXPECT_EQ(timer.deadline, kNever);
    EXPECT_EQ(wheel.next_deadline(), kNever);
  }
}

TEST(TimerWheel, FiresAtOnceWhenTheDeadlineIsPast) {
  TimerWheel wheel;
  EXPECT_EQ(wheel.pop_expired(at(10s)), nullptr);
  TimerEntry timer;
  wheel.arm(timer, at(3s));
  EXPECT_EQ(wheel.next_deadline(), at(3s));
  EXPECT_EQ(wheel.pop_expired(at(10s)), &timer);
}

TEST(TimerWheel, EqualDeadlinesFireInTheOrderOfArming) {
  TimerWheel wheel;
  std::vector<TimerEntry> timers(5);
  for (std::size_t i : {3u, 1u, 4u, 0u, 2u}) wheel.arm(timers[i], at(5s));
  wheel.arm(timers[4], at(5s));  // again: now the last
  for (std::size_t i : {3u, 1u, 0u, 2u, 4u}) EXPECT_EQ(wheel.pop_expired(at(5s)), &timers[i]);
}

TEST(TimerWheel, OrderOfArmingHoldsWhenTheDeadlineWasMovedLater) {
  TimerWheel wheel;
  TimerEntry moved, other;
  wheel.arm(moved, at(10ms));
  wheel.arm(moved, at(100ms));  // stays in its old place
  wheel.arm(other, at(100ms));  // goes to the new one
  EXPECT_EQ(wheel.next_deadline(), at(100ms));
  EXPECT_EQ(wheel.pop_expired(at(50ms)), nullptr);
  EXPECT_EQ(wheel.pop_expired(at(100ms)), &moved);
  EXPECT_EQ(wheel.pop_expired(at(100ms)), &other);
}

TEST(TimerWheel, NeverMeansCancel) {
  TimerWheel wheel;
  TimerEntry timer;
  wheel.arm(timer, kNever);
  EXPECT_FALSE(timer.armed());
  wheel.arm(timer, at(1s));
  wheel.arm(timer, kNever);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.next_deadline(), kNever);
  wheel.cancel(timer);
  EXPECT_EQ(wheel.pop_expired(at(2s)), nullptr);
}

TEST(TimerWheel, MayStartBeforeItsZero) {
  TimerWheel wheel(at(-5s));
  TimerEntry timer;
  wheel.arm(timer, at(-1s));
  EXPECT_EQ(wheel.pop_expired(at(-2s)), nullptr);
  EXPECT_EQ(wheel.next_deadline(), at(-1s));
  EXPECT_EQ(wheel.pop_expired(at(0s)), &timer);
}

TEST(TimerWheel, AClockThatGoesBackwardsFiresNothingEarly) {
  TimerWheel wheel;
  TimerEntry timer;
  EXPECT_EQ(wheel.pop_expired(at(100s)), nullptr);
  wheel.arm(timer, at(50s));
  EXPECT_EQ(wheel.pop_expired(at(40s)), nullptr);
  EXPECT_EQ(wheel.pop_expired(at(50s)), &timer);
}

TEST(TimerWheel, LetsGoOfItsTimersWhenItDies) {
  TimerEntry near, far;
  {
    TimerWheel wheel;
    wheel.arm(near, at(0s));
    wheel.arm(far, at(1h));
  }
  EXPECT_FALSE(near.armed());
  EXPECT_FALSE(far.armed());
}

// A bound instead of the exact answer must still lead to it: whoever waits for next_deadline() is never
// called for nothing twice at the same instant.
TEST(TimerWheel, ManyTimersInOneFarSlotAreReachedInFewSteps) {
  TimerWheel wheel;
  std::vector<TimerEntry> timers(1000);
  for (std::size_t i = 0; i < timers.size(); ++i)
    wheel.arm(timers[i], at(60s + Duration(static_cast<Duration::rep>(i))));
  for (std::size_t i = 0; i < 999; ++i) wheel.cancel(timers[i]);
  Instant now{};
  std::size_t steps = 0;
  while (wheel.pop_expired(now) == nullptr) {
    const Instant next = wheel.next_deadline();
    ASSERT_GT(next, now);
    ASSERT_LE(next, at(60s + 999ns));
    now = next;
    ASSERT_LT(++steps, 10u);
  }
  EXPECT_EQ(now, at(60s + 999ns));
}

// The wheel against a multimap, which keeps equal keys in the order of insertion.
class Model {
 public:
  explicit Model(std::size_t count) : timers_(count), places_(count, order_.end()) {
    for (std::size_t i = 0; i < count; ++i) timers_[i].owner = static_cast<std::uint32_t>(i);
  }

  void arm(std::size_t i, Instant deadline) {
    wheel_.arm(timers_[i], deadline);
    forget(i);
    if (deadline != kNever) places_[i] = order_.emplace(deadline, i);
  }
  void cancel(std::size_t i) {
    wheel_.cancel(timers_[i]);
    forget(i);
  }
  void advance(Instant now) {
    for (;;) {
      TimerEntry* popped = wheel_.pop_expired(now);
      const bool due = !order_.empty() && order_.begin()->first <= now;
      ASSERT_EQ(popped != nullptr, due);
      if (!due) return;
      const std::size_t expected = order_.begin()->second;
      ASSERT_EQ(popped->owner, expected);
      forget(expected);
    }
  }
  // Exact while there are few timers; else a bound.
  void check_next(Instant now) {
    const Instant earliest = order_.empty() ? kNever : order_.begin()->first;
    const Instant answer = wheel_.next_deadline();
    if (timers_.size() <= TimerWheel::kExactScan) {
      ASSERT_EQ(answer, earliest);
    } else {
      ASSERT_LE(answer, earliest);
      ASSERT_TRUE(answer > now || answer == earliest);
    }
    ASSERT_EQ(wheel_.size(), order_.size());
    ASSERT_EQ(wheel_.empty(), order_.empty());
  }
  Instant next() const { return wheel_.next_deadline(); }

 private:
  void forget(std::size_t i) {
    if (places_[i] != order_.end()) order_.erase(places_[i]);
    places_[i] = order_.end();
  }

  std::vector<TimerEntry> timers_;  // outlive the wheel, which lets go of them
  TimerWheel wheel_;
  std::multimap<Instant, std::size_t> order_;
  std::vector<std::multimap<Instant, std::size_t>::iterator> places_;
};

Duration random_delay(Rng& rng) {
  // Every scale from nanoseconds to a century, and the delays that TCP likes, which collide often.
  switch (rng.below(6)) {
    case 0:
      return Duration(static_cast<Duration::rep>(rng.below(1 << 17)));
    case 1:
      return Duration(40ms);
    case 2:
      return Duration(200ms) + Duration(static_cast<Duration::rep>(rng.below(4))) * 1'000'000;
    case 3:
      return Duration(60s);
    case 4:
      return Duration(static_cast<Duration::rep>(rng.below(std::uint64_t{1} << rng.between(10, 61))));
    default:
      return -Duration(static_cast<Duration::rep>(rng.below(1'000'000)));
  }
}

void run_model(std::uint64_t seed, std::size_t timers, std::size_t steps) {
  SCOPED_TRACE(testing::Message() << "seed " << seed << ", timers " << timers);
  Rng rng(seed);
  Model model(timers);
  Instant now{};
  for (std::size_t step = 0; step < steps; ++step) {
    const std::size_t i = rng.below(timers);
    const std::uint64_t what = rng.below(100);
    if (what < 55) {
      model.arm(i, later(now, random_delay(rng)));
    } else if (what < 60) {
      model.arm(i, kNever);
    } else if (what < 70) {
      model.cancel(i);
    } else {
      if (what < 80)
        now += Duration(static_cast<Duration::rep>(rng.below(100'000)));
      else if (what < 90)
        now += Duration(static_cast<Duration::rep>(rng.below(100'000'000)));
      else if (what < 92)
        now += 10min;
      else if (model.next() != kNever)
        now = std::max(now, model.next());
      ASSERT_NO_FATAL_FAILURE(model.advance(now));
    }
    if (rng.chance_ppm(500'000)) {
      ASSERT_NO_FATAL_FAILURE(model.check_next(now));
    }
    if (now > at(24h * 365 * 150)) return;
  }
}

TEST(TimerWheel, AgreesWithAMultimap) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    ASSERT_NO_FATAL_FAILURE(run_model(seed, 4, 4000));
    ASSERT_NO_FATAL_FAILURE(run_model(seed, 30, 4000));
    ASSERT_NO_FATAL_FAILURE(run_model(seed, 500, 8000));
  }
}

// One slot with many timers: sorted when its time comes.
TEST(TimerWheel, SortsTimersOfTheSameTick) {
  TimerWheel wheel;
  Rng rng(7);
  std::vector<TimerEntry> timers(5000);
  for (TimerEntry& timer : timers)
    wheel.arm(timer, at(1s + Duration(static_cast<Duration::rep>(rng.below(50'000)))));
  Instant last{};
  const Instant end = at(1s + 50us);
  std::size_t count = 0;
  while (true) {
    const Instant next = wheel.next_deadline();
    if (next == kNever) break;
    TimerEntry* timer = wheel.pop_expired(end);
    ASSERT_NE(timer, nullptr);
    ASSERT_GE(next, last);
    last = next;
    ++count;
  }
  EXPECT_EQ(count, timers.size());
}

// More timers than are looked at exactly leave an early bound behind; cancelling them all must take it back
// too.
TEST(TimerWheel, AnEarlyBoundGoesWithTheLastTimer) {
  TimerWheel wheel(Instant(1h));
  std::array<TimerEntry, 2 * TimerWheel::kExactScan> timers;
  for (TimerEntry& timer : timers) wheel.arm(timer, Instant(1h) + Duration(5s));
  EXPECT_LE(wheel.next_deadline(), Instant(1h) + Duration(5s));
  for (TimerEntry& timer : timers) wheel.cancel(timer);
  EXPECT_EQ(wheel.next_deadline(), kNever);
}

}  // namespace
}  // namespace tapir
