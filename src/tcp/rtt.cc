// SPDX-License-Identifier: Apache-2.0
#include "tcp/rtt.h"

#include <algorithm>
#include <limits>

#include "base/seq_num.h"

namespace tapir::tcp {
namespace {

// Linux: tcp_min_rtt_wlen, in milliseconds.
constexpr std::uint32_t kMinWindow = 300'000;
// A sample counts as at most this, so that srtt * 8 fits 32 bits.
constexpr std::int64_t kSampleMax = std::numeric_limits<std::int32_t>::max() / 8;

}  // namespace

void Rto::set(Duration value, const Knobs& knobs) {
  value_ = shorten(std::min(std::max(value, knobs.rto_min), knobs.rto_max));
}

void Rto::back_off(const Knobs& knobs) { value_ = shorten(std::min(value() * 2, knobs.rto_max)); }

void Rtt::on_sample(Duration rtt, Instant now, std::uint32_t snd_una, std::uint32_t snd_nxt,
                    const Knobs& knobs) {
  on_min_sample(rtt, now);
  const auto rto_min = static_cast<std::uint32_t>(to_usec(knobs.rto_min));
  std::int64_t m = std::clamp<std::int64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(rtt).count(), 1, kSampleMax);
  if (srtt_us8_ == 0) {
    srtt_us8_ = static_cast<std::uint32_t>(m << 3);  // R
    mdev_us4_ = static_cast<std::uint32_t>(m << 1);  // R/2, times 4
    rttvar_us4_ = mdev_max_us4_ = std::max(mdev_us4_, rto_min);
    rtt_seq_ = snd_nxt;
    return;
  }
  m -= srtt_us8_ >> 3;
  srtt_us8_ = static_cast<std::uint32_t>(std::max<std::int64_t>(1, srtt_us8_ + m));  // 7/8 srtt + 1/8 R
  const bool faster = m < 0;
  m = (faster ? -m : m) - (mdev_us4_ >> 2);
  // A path that gets faster is no reason to wait longer: such a deviation counts an eighth.
  if (faster && m > 0) m >>= 3;
  mdev_us4_ = static_cast<std::uint32_t>(mdev_us4_ + m);  // 3/4 mdev + 1/4 |err|
  if (mdev_us4_ > mdev_max_us4_) {
    mdev_max_us4_ = mdev_us4_;
    rttvar_us4_ = std::max(rttvar_us4_, mdev_max_us4_);
  }
  if (SeqNum(snd_una) > SeqNum(rtt_seq_)) {
    if (mdev_max_us4_ < rttvar_us4_) rttvar_us4_ -= (rttvar_us4_ - mdev_max_us4_) >> 2;
    rtt_seq_ = snd_nxt;
    mdev_max_us4_ = rto_min;
  }
}

void Rtt::on_min_sample(Duration rtt, Instant now) {
  const auto now_ms = static_cast<std::uint32_t>(to_msec(now.time_since_epoch()));
  const auto rtt_us = static_cast<std::uint32_t>(std::clamp<std::int64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(rtt).count(), 1, kSampleMax));
  const MinSample sample{rtt_us, now_ms};
  if (sample.rtt_us <= min_[0].rtt_us || now_ms - min_[2].at_ms > kMinWindow) {
    min_.fill(sample);
    return;
  }
  if (sample.rtt_us <= min_[1].rtt_us) {
    min_[1] = min_[2] = sample;
  } else if (sample.rtt_us <= min_[2].rtt_us) {
    min_[2] = sample;
  }
  const std::uint32_t age = now_ms - min_[0].at_ms;
  if (age > kMinWindow) {
    min_ = {min_[1], min_[2], sample};
    if (now_ms - min_[0].at_ms > kMinWindow) min_ = {min_[1], min_[2], sample};
  } else if (min_[1].at_ms == min_[0].at_ms && age > kMinWindow / 4) {
    // A quarter of the window without a second best: take one from the second quarter.
    min_[1] = min_[2] = sample;
  } else if (min_[2].at_ms == min_[1].at_ms && age > kMinWindow / 2) {
    min_[2] = sample;
  }
}

Duration Rtt::base_rto(const Knobs& knobs) const {
  Rto rto;
  rto.set(has_sample() ? Duration(std::chrono::microseconds((srtt_us8_ >> 3) + std::uint64_t{rttvar_us4_}))
                       : Duration(1s),
          knobs);
  return rto.value();
}

}  // namespace tapir::tcp
