// SPDX-License-Identifier: Apache-2.0
// Round-trip time and the retransmission time-out: RFC 6298 with Linux's variance (tcp_rtt_estimator), and
// the minimum filter.
#pragma once

#include <array>
#include <cstdint>

#include "base/stamp.h"
#include "base/time.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

// A time-out that is always within [tcp_rto_min, tcp_rto_max].
class Rto {
 public:
  explicit constexpr Rto(Duration initial = 1s) : value_(shorten(initial)) {}
  constexpr Duration value() const { return value_; }
  void set(Duration value, const Knobs& knobs);
  void back_off(const Knobs& knobs);  // doubles

 private:
  ShortDuration value_;
};

class Rtt {
 public:
  // A sample (> 0) from an ACK; `una`/`nxt` mark the end of a measured round, as Linux's rtt_seq does.
  void on_sample(Duration rtt, Instant now, std::uint32_t snd_una, std::uint32_t snd_nxt, const Knobs& knobs);
  // A sample for the minimum alone, which may be free of the peer's delayed ACK (Linux: ca_rtt_us).
  // on_sample() includes it.
  void on_min_sample(Duration rtt, Instant now);
  bool has_sample() const { return srtt_us8_ != 0; }
  Duration srtt() const { return std::chrono::microseconds(srtt_us8_ >> 3); }
  std::uint32_t srtt_us8() const { return srtt_us8_; }  // usec * 8, Linux's srtt_us
  std::uint32_t mdev_us() const { return mdev_us4_ >> 2; }
  std::uint32_t rttvar_us() const { return rttvar_us4_; }  // usec * 4 of deviation: what the RTO adds to srtt
  // The least sample of the last 300 s (tcp_min_rtt_wlen), or nearly so; Duration::max(): none.
  Duration min_rtt() const {
    return min_[0].rtt_us == kNoSample ? Duration::max() : std::chrono::microseconds(min_[0].rtt_us);
  }
  // srtt + 4 * rttvar (or the initial 1 s), in the limits, without back-off.
  Duration base_rto(const Knobs& knobs) const;

 private:
  static constexpr std::uint32_t kNoSample = 0xffffffff;
  // As Linux's struct minmax_sample: a socket has three, so they are small.
  struct MinSample {
    std::uint32_t rtt_us = kNoSample;
    std::uint32_t at_ms = 0;  // wraps; only differences of up to a window count
  };

  std::uint32_t srtt_us8_ = 0;
  std::uint32_t mdev_us4_ =
      1000000;  // before a sample TCP_INFO shows a quarter second, as Linux's tcp_init_sock sets it
  std::uint32_t mdev_max_us4_ = 0;  // largest mdev of this round
  std::uint32_t rttvar_us4_ = 0;
  std::uint32_t rtt_seq_ = 0;  // the round ends when snd.una passes it
  // The least, the least since the first was seen, the least since the second (Linux: lib/win_minmax.c): when
  // the first grows older than the window, its successor is known already.
  std::array<MinSample, 3> min_;
};

}  // namespace tapir::tcp
