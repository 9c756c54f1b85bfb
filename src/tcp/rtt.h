// SPDX-License-Identifier: Apache-2.0
// Round-trip time and the retransmission time-out: RFC 6298 with Linux's variance (tcp_rtt_estimator), and the minimum filter.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/knobs.h"

namespace tapir::tcp {

// A time-out that is always within [tcp_rto_min, tcp_rto_max].
class Rto {
 public:
  explicit constexpr Rto(Duration initial = 1s) : value_(initial) {}
  constexpr Duration value() const { return value_; }
  void set(Duration value, const Knobs& knobs);
  void back_off(const Knobs& knobs);          // doubles

 private:
  Duration value_;
};

class Rtt {
 public:
  // A sample (> 0) from an ACK; `una`/`nxt` mark the end of a measured round, as Linux's rtt_seq does.
  void on_sample(Duration rtt, Instant now, std::uint32_t snd_una, std::uint32_t snd_nxt, const Knobs& knobs);
  bool has_sample() const { return srtt_us8_ != 0; }
  Duration srtt() const { return std::chrono::microseconds(srtt_us8_ >> 3); }
  std::uint32_t srtt_us8() const { return srtt_us8_; }   // usec * 8, Linux's srtt_us
  std::uint32_t mdev_us() const { return mdev_us4_ >> 2; }
  std::uint32_t rttvar_us() const { return rttvar_us4_; }
  Duration min_rtt() const { return min_rtt_; }           // kept over a window of 300 s (tcp_min_rtt_wlen); Duration::max() = none
  Duration latest() const { return latest_; }
  // srtt + 4 * rttvar (or the initial 1 s), in the limits, without back-off.
  Duration base_rto(const Knobs& knobs) const;

 private:
  std::uint32_t srtt_us8_ = 0;
  std::uint32_t mdev_us4_ = 1000000 * 4 / 4;
  std::uint32_t mdev_max_us4_ = 0;
  std::uint32_t rttvar_us4_ = 0;
  std::uint32_t rtt_seq_ = 0;
  Duration min_rtt_ = Duration::max();
  Duration latest_{};
  Instant min_rtt_at_{};
};

}  // namespace tapir::tcp
