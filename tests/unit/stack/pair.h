// SPDX-License-Identifier: Apache-2.0
// Two stacks joined by a cable in memory, on virtual time.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "link/pipe.h"
#include "stack/parts.h"
#include "stack/stack.h"

namespace tapir::stack::testing {

struct PairConfig {
  link::PipeConfig pipe;
  std::uint64_t seed = 1;
};

// 10.0.0.1/24 and 10.0.0.2/24 on interface 2 ("eth0") of each.
class Pair {
 public:
  explicit Pair(const PairConfig& config = {})
      : a({.seed = config.seed}, start), b({.seed = config.seed + 1}, start) {
    auto [left, right] = link::make_pipe(config.pipe);
    a.add_interface({.name = "eth0", .addresses = {{a_address, 24}}}, std::move(left), start);
    b.add_interface({.name = "eth0", .addresses = {{b_address, 24}}}, std::move(right), start);
  }

  // Turns of both until neither has anything to do at `now`. `after_turn(stack)` runs after each.
  template <typename AfterTurn>
  void settle(AfterTurn&& after_turn) {
    for (int i = 0; i < kTurnsMax; ++i) {
      a.turn(now);
      after_turn(a);
      b.turn(now);
      after_turn(b);
      if (std::min(a.next_timeout(), b.next_timeout()) > now) return;
    }
  }
  void settle() {
    settle([](Stack&) {});
  }

  // Lets time pass in steps to what is due, up to `limit` from now or until `done()`. True when done.
  template <typename Done>
  bool run_until(Done&& done, Duration limit = 10s) {
    return run_until(std::forward<Done>(done), limit, [](Stack&) {});
  }
  template <typename Done, typename AfterTurn>
  bool run_until(Done&& done, Duration limit, AfterTurn&& after_turn) {
    const Instant end = now + limit;
    for (;;) {
      settle(after_turn);
      if (done()) return true;
      const Instant next = std::min(a.next_timeout(), b.next_timeout());
      if (next > end || now >= end) {
        now = end;
        return false;
      }
      now = std::max(now, next);
    }
  }
  void run_for(Duration time) {
    run_until([] { return false; }, time);
  }

  static constexpr int kTurnsMax = 10000;
  static constexpr IpAddress a_address = IpAddress::v4(10, 0, 0, 1);
  static constexpr IpAddress b_address = IpAddress::v4(10, 0, 0, 2);
  static constexpr Instant start{1000s};
  Instant now = start;
  Stack a;
  Stack b;
};

}  // namespace tapir::stack::testing
