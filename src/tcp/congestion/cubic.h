// SPDX-License-Identifier: Apache-2.0
// CUBIC (RFC 9438) in integers, with Linux's constants (net/ipv4/tcp_cubic.c): beta 717/1024, C = 0.4, time
// in units of 1/1024 s. Slow start ends early by HyStart (Ha and Rhee 2011, as Linux does it), or by
// HyStart++ (RFC 9406) with the knob tcp_cubic.hystart_plus_plus.
//
//   window  ^            ______ origin: the window of the last loss
//           |        ___/      \___ probing beyond it
//           |      /
//           |_____/____________________> time since the epoch began (the first growth after a loss)
//                 K
#pragma once

#include "tcp/congestion.h"

namespace tapir::tcp {

// Bits of tcp_cubic.hystart_detect.
inline constexpr int kHystartAckTrain = 1;
inline constexpr int kHystartDelay = 2;

class Cubic final : public CongestionControl {
 public:
  std::string_view name() const override { return "cubic"; }
  void on_ack(Window& window, const AckSample& sample) override;
  void on_measured(Window& window, const AckSample& sample) override;
  // 717/1024 of the window, at least 2 segments; remembers the window, a smaller one when it had not
  // recovered yet (fast convergence, RFC 9438 §4.7).
  std::uint32_t ssthresh_after_loss(const Window& window) override;
  std::uint32_t cwnd_after_undo(const Window& window) override;
  void on_timeout(Window& window, Instant now) override;
  void on_idle_restart(Window&, Instant) override {}
  // A pause is no time on the curve (RFC 9438 §5.8).
  void on_transmit_start(Instant now, Instant last_sent) override;

 private:
  void update(std::uint32_t cwnd, std::uint32_t acked, std::uint32_t now_ms);
  void follow_reno(std::uint32_t cwnd);
  void hystart(Window& window, const AckSample& sample, std::uint32_t delay_us);
  void hystart_ack_train(Window& window, const AckSample& sample);
  void hystart_delay(Window& window, const AckSample& sample, std::uint32_t delay_us);
  void hystart_plus_plus(Window& window, const AckSample& sample, std::uint32_t delay_us);
  void start_round(const AckSample& sample);
  void leave_slow_start(Window& window, const AckSample& sample, trace::Counter detected, trace::Counter sum);

  std::uint32_t count_ = 0;         // segments to be acknowledged per segment of growth
  std::uint32_t last_max_ = 0;      // window of the last loss
  std::uint32_t last_cwnd_ = 0;     // at the last update
  std::uint32_t last_ms_ = 0;       // time of the last update
  std::uint32_t origin_ = 0;        // the curve's plateau
  std::uint32_t k_ = 0;             // 1/1024 s from the epoch's begin to the plateau
  std::uint32_t epoch_ms_ = 0;      // when the epoch began; 0: it has not
  std::uint32_t ack_count_ = 0;     // acknowledged since Reno's estimate last moved
  std::uint32_t reno_cwnd_ = 0;     // what Reno's window would be (RFC 9438 §4.3)
  std::uint32_t delay_min_us_ = 0;  // least round trip; 0: none
  // HyStart.
  // A connection does HyStart or HyStart++, and has the state of one.
  union {
    std::uint32_t round_us_ = 0;  // when this round began
    std::uint32_t
        css_baseline_us_;  // HyStart++: least round trip when conservative slow start began; 0: it has not
  };
  union {
    std::uint32_t last_ack_us_ = 0;  // last ACK of the train
    std::uint32_t last_round_us_;    // HyStart++: least round trip of the last round; 0: none
  };
  std::uint32_t round_delay_us_ = ~0U;  // least round trip of the first samples of this round
  SeqNum round_end_;                    // snd.nxt when the round began
  std::uint8_t samples_ = 0;
  std::uint8_t css_rounds_ = 0;
  std::uint8_t css_credit_ = 0;  // segments acknowledged towards one of growth
  bool found_ = false;           // slow start was left: no more looking until a time-out
  bool round_known_ = false;     // round_end_ is set
  bool plus_plus_ = false;       // HyStart++
};

}  // namespace tapir::tcp
