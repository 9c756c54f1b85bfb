// SPDX-License-Identifier: Apache-2.0
// What a sender spent its time on: TCP_INFO's busy_time, rwnd_limited, sndbuf_limited (Linux:
// tcp_chrono_start, tcp_chrono_stop). One condition counts at a time; the later in the enum takes precedence.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace tapir::tcp {

class Chronograph {
 public:
  enum class What : std::uint8_t { kIdle, kBusy, kReceiveWindow, kSendBuffer };

  void start(What what, Instant now) {
    if (what > what_) change(what, now);
  }
  // `empty`: nothing is queued or in flight any more.
  void stop(What what, bool empty, Instant now) {
    if (empty)
      change(What::kIdle, now);
    else if (what == what_)
      change(What::kBusy, now);
  }
  Duration of(What what, Instant now) const {
    std::uint32_t spent = what == What::kIdle ? 0 : spent_[static_cast<std::size_t>(what) - 1];
    if (what == what_ && what != What::kIdle) spent += ticks(now) - since_;
    return spent * kTick;
  }
  Duration busy(Instant now) const {
    return of(What::kBusy, now) + of(What::kReceiveWindow, now) + of(What::kSendBuffer, now);
  }

 private:
  // A tenth of the millisecond that Linux counts in; it wraps after five days.
  static constexpr Duration kTick = 100us;
  static std::uint32_t ticks(Instant t) { return static_cast<std::uint32_t>(t.time_since_epoch() / kTick); }
  void change(What what, Instant now) {
    if (what == what_) return;
    if (what_ != What::kIdle) spent_[static_cast<std::size_t>(what_) - 1] += ticks(now) - since_;
    since_ = ticks(now);
    what_ = what;
  }

  std::array<std::uint32_t, 3> spent_{};  // ticks
  std::uint32_t since_ = 0;
  What what_ = What::kIdle;
};

}  // namespace tapir::tcp
