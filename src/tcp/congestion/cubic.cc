// SPDX-License-Identifier: Apache-2.0
#include "tcp/congestion/cubic.h"

#include <algorithm>

namespace tapir::tcp {

using trace::Counter;

namespace {

// What is left of the window after a loss, in 1/1024: 0.7 (RFC 9438 §4.6; Linux: beta).
constexpr std::uint64_t kScale = 1024;
constexpr std::uint64_t kBeta = 717;
// C = 0.4 in 1/1024 (RFC 9438 §5.1; Linux: bic_scale * 10), and its inverse in cubes of 1/1024 s.
constexpr std::uint64_t kC = 410;
constexpr std::uint64_t kCubePerSegment = (std::uint64_t{1} << 40) / kC;
// Segments acknowledged per segment of Reno's estimate, as a fraction of the window in eighths: (1 + beta) /
// (1 - beta) / 3 (RFC 9438 §4.3).
constexpr std::uint64_t kRenoScale = 8 * (kScale + kBeta) / 3 / (kScale - kBeta);
// Growth before any loss is known: a segment per so many acknowledged at least.
constexpr std::uint32_t kFirstCountMax = 20;
// The curve is looked at once per this much while the window stands still (Linux: HZ / 32).
constexpr std::int32_t kUpdateMs = 31;
// Round trips measured so soon after a recovery are its own queue's (Linux: HZ).
constexpr std::int32_t kSettleMs = 1000;

// HyStart: no verdict below this window (tcp_cubic.hystart_low_window), nor by fewer samples in a round; a
// delay is a sign of a queue from an eighth more on, within these bounds.
constexpr std::uint32_t kHystartLowWindow = 16;
constexpr std::uint8_t kHystartSamplesMin = 8;
constexpr std::uint32_t kHystartDelayMinUs = 4000;
constexpr std::uint32_t kHystartDelayMaxUs = 16000;
// ACKs of one train follow each other within this (tcp_cubic.hystart_ack_delta_us).
constexpr std::int32_t kHystartAckDeltaUs = 2000;
// HyStart++: growth in conservative slow start is a quarter, for five rounds (RFC 9406 §4.2).
constexpr std::uint32_t kCssGrowthDivisor = 4;
constexpr std::uint8_t kCssRounds = 5;

std::uint32_t msec_of(Instant t) { return static_cast<std::uint32_t>(to_msec(t.time_since_epoch())); }
std::uint32_t usec_of(Instant t) { return static_cast<std::uint32_t>(to_usec(t.time_since_epoch())); }

// The largest r with r^3 <= a; a < 2^60.
std::uint32_t cube_root(std::uint64_t a) {
  std::uint64_t root = 0;
  for (std::uint64_t bit = std::uint64_t{1} << 19; bit != 0; bit >>= 1) {
    const std::uint64_t tried = root | bit;
    if (tried * tried * tried <= a) root = tried;
  }
  return static_cast<std::uint32_t>(root);
}

}  // namespace

void Cubic::on_ack(Window& window, const AckSample& sample) {
  std::uint32_t acked = sample.acked;
  if (window.in_slow_start()) {
    if (plus_plus_ && css_baseline_us_ != 0) {
      // Conservative slow start: a quarter of the growth.
      const std::uint32_t credit = css_credit_ + acked;
      css_credit_ = static_cast<std::uint8_t>(credit % kCssGrowthDivisor);
      acked = credit / kCssGrowthDivisor;
    }
    acked = slow_start(window, acked);
    if (acked == 0) return;
  }
  update(window.cwnd, acked, msec_of(sample.now));
  congestion_avoidance_ai(window, std::max<std::uint32_t>(count_, 1), acked);
}

// How many acknowledged segments the next one of growth takes (RFC 9438 §4.2 to §4.5; Linux: bictcp_update).
void Cubic::update(std::uint32_t cwnd, std::uint32_t acked, std::uint32_t now_ms) {
  ack_count_ += acked;
  const auto since = static_cast<std::int32_t>(now_ms - last_ms_);
  if (last_cwnd_ == cwnd && since <= kUpdateMs) return;
  if (epoch_ms_ != 0 && now_ms == last_ms_) return follow_reno(cwnd);
  last_cwnd_ = cwnd;
  last_ms_ = now_ms;
  if (epoch_ms_ == 0) {
    epoch_ms_ = std::max<std::uint32_t>(now_ms, 1);
    ack_count_ = acked;
    reno_cwnd_ = cwnd;
    k_ = last_max_ > cwnd ? cube_root(kCubePerSegment * (last_max_ - cwnd)) : 0;
    origin_ = std::max(last_max_, cwnd);
  }
  // Where the curve will be a round trip from now.
  const std::uint64_t ms = std::uint64_t{now_ms - epoch_ms_} + (delay_min_us_ + 999) / 1000;
  const std::uint64_t t = (ms << 10) / 1000;
  const std::uint64_t offset = t < k_ ? k_ - t : t - k_;
  // Far out on the curve it is beyond any window; the cube must not overflow.
  const std::uint64_t bounded = std::min<std::uint64_t>(offset, std::uint64_t{1} << 17);
  const std::uint64_t rise = kC * bounded * bounded * bounded >> 40;
  const std::uint64_t target = t < k_ ? origin_ - std::min<std::uint64_t>(rise, origin_) : origin_ + rise;
  count_ = target > cwnd ? static_cast<std::uint32_t>(cwnd / (target - cwnd)) : 100 * cwnd;
  if (last_max_ == 0) count_ = std::min(count_, kFirstCountMax);
  follow_reno(cwnd);
}

// Never slower than Reno would be (RFC 9438 §4.3), and at most half a segment per segment.
void Cubic::follow_reno(std::uint32_t cwnd) {
  const auto step = static_cast<std::uint32_t>(std::uint64_t{cwnd} * kRenoScale >> 3);
  if (step != 0 && ack_count_ > step) {
    const std::uint32_t steps = (ack_count_ - 1) / step;
    ack_count_ -= steps * step;
    reno_cwnd_ += steps;
  }
  if (reno_cwnd_ > cwnd) count_ = std::min(count_, cwnd / (reno_cwnd_ - cwnd));
  count_ = std::max<std::uint32_t>(count_, 2);
}

std::uint32_t Cubic::ssthresh_after_loss(const Window& window) {
  epoch_ms_ = 0;
  const std::uint64_t cwnd = window.cwnd;
  last_max_ = static_cast<std::uint32_t>(cwnd < last_max_ ? cwnd * (kScale + kBeta) / (2 * kScale) : cwnd);
  return std::max(static_cast<std::uint32_t>(cwnd * kBeta / kScale), std::uint32_t{2});
}

std::uint32_t Cubic::cwnd_after_undo(const Window& window) {
  return std::max(window.cwnd, window.prior_cwnd);
}

void Cubic::on_timeout(Window& window, Instant) {
  window.cwnd_cnt = 0;
  *this = Cubic();
}

void Cubic::on_transmit_start(Instant now, Instant last_sent) {
  if (epoch_ms_ == 0 || now <= last_sent) return;
  const std::uint32_t now_ms = msec_of(now);
  epoch_ms_ += now_ms - msec_of(last_sent);
  if (static_cast<std::int32_t>(epoch_ms_ - now_ms) > 0) epoch_ms_ = now_ms;
}

// ---- when to leave slow start ----

void Cubic::on_measured(Window& window, const AckSample& sample) {
  if (sample.rtt <= Duration::zero()) return;
  if (epoch_ms_ != 0 && static_cast<std::int32_t>(msec_of(sample.now) - epoch_ms_) < kSettleMs) return;
  const auto delay =
      static_cast<std::uint32_t>(std::clamp<std::uint64_t>(to_usec(sample.rtt), 1, 0x7fffffff));
  if (delay_min_us_ == 0 || delay < delay_min_us_) delay_min_us_ = delay;
  if (found_ || !window.in_slow_start() || sample.knobs->cubic_hystart == 0) return;
  hystart(window, sample, delay);
}

void Cubic::start_round(const AckSample& sample) {
  if (plus_plus_)
    last_round_us_ = round_delay_us_ != ~0U ? round_delay_us_ : 0;
  else
    round_us_ = last_ack_us_ = usec_of(sample.now);
  round_end_ = sample.snd_nxt;
  round_known_ = true;
  round_delay_us_ = ~0U;
  samples_ = 0;
}

void Cubic::leave_slow_start(Window& window, const AckSample& sample, Counter detected, Counter sum) {
  found_ = true;
  if (plus_plus_) css_baseline_us_ = 0;
  sample.counters->add(detected);
  sample.counters->add(sum, window.cwnd);
  window.ssthresh = window.cwnd;
}

void Cubic::hystart(Window& window, const AckSample& sample, std::uint32_t delay_us) {
  const bool plus_plus = sample.knobs->cubic_hystart_plus_plus != 0;
  if (plus_plus != plus_plus_) {
    plus_plus_ = plus_plus;
    round_known_ = false;
    css_baseline_us_ = last_round_us_ = 0;
  }
  // Linux's test scripts count rounds only from a window of that size on (kernels since 6.14 count them from
  // the start).
  if (!plus_plus && window.cwnd < kHystartLowWindow) return;
  const bool new_round = !round_known_ || sample.snd_una > round_end_;
  if (new_round) start_round(sample);
  if (plus_plus_) {
    if (new_round && css_baseline_us_ != 0 && ++css_rounds_ >= kCssRounds)
      return leave_slow_start(window, sample, Counter::kTcpExtTCPHystartDelayDetect,
                              Counter::kTcpExtTCPHystartDelayCwnd);
    return hystart_plus_plus(window, sample, delay_us);
  }
  if ((sample.knobs->cubic_hystart_detect & kHystartAckTrain) != 0) hystart_ack_train(window, sample);
  if ((sample.knobs->cubic_hystart_detect & kHystartDelay) != 0) hystart_delay(window, sample, delay_us);
}

// ACKs that come back to back for as long as half a round trip: the pipe is full by then.
void Cubic::hystart_ack_train(Window& window, const AckSample& sample) {
  const std::uint32_t now_us = usec_of(sample.now);
  if (static_cast<std::int32_t>(now_us - last_ack_us_) > kHystartAckDeltaUs) return;
  last_ack_us_ = now_us;
  // Batches of the sender itself stretch the train.
  std::uint64_t batch_us = 0;
  if (window.pacing_rate != 0)
    batch_us =
        std::min<std::uint64_t>(1000, std::uint64_t{sample.gso_max_size} * 4 * 1000000 / window.pacing_rate);
  std::uint64_t threshold = delay_min_us_ + batch_us;
  if (!sample.pacing) threshold /= 2;
  if (static_cast<std::int32_t>(now_us - round_us_) > static_cast<std::int64_t>(threshold))
    leave_slow_start(window, sample, Counter::kTcpExtTCPHystartTrainDetect,
                     Counter::kTcpExtTCPHystartTrainCwnd);
}

// The round trips of the round's first ACKs grew: a queue builds.
void Cubic::hystart_delay(Window& window, const AckSample& sample, std::uint32_t delay_us) {
  round_delay_us_ = std::min(round_delay_us_, delay_us);
  if (samples_ < kHystartSamplesMin) {
    ++samples_;
    return;
  }
  if (round_delay_us_ > delay_min_us_ + std::clamp(delay_min_us_ / 8, kHystartDelayMinUs, kHystartDelayMaxUs))
    leave_slow_start(window, sample, Counter::kTcpExtTCPHystartDelayDetect,
                     Counter::kTcpExtTCPHystartDelayCwnd);
}

// RFC 9406 §4.2: a delay begins a conservative slow start, which ends slow start after some rounds, or goes
// back to it if the delay turns out to have been jitter.
void Cubic::hystart_plus_plus(Window& window, const AckSample& sample, std::uint32_t delay_us) {
  round_delay_us_ = std::min(round_delay_us_, delay_us);
  if (samples_ < kHystartSamplesMin) ++samples_;
  if (samples_ < kHystartSamplesMin) return;
  if (css_baseline_us_ != 0) {
    if (round_delay_us_ < css_baseline_us_) css_baseline_us_ = 0;
    return;
  }
  if (last_round_us_ == 0 || window.cwnd < kHystartLowWindow || sample.acked == 0) return;
  if (round_delay_us_ >=
      last_round_us_ + std::clamp(last_round_us_ / 8, kHystartDelayMinUs, kHystartDelayMaxUs)) {
    css_baseline_us_ = round_delay_us_;
    css_rounds_ = 0;
    css_credit_ = 0;
  }
}

}  // namespace tapir::tcp
