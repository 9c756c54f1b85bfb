// SPDX-License-Identifier: Apache-2.0
// Which segments are lost, judged by time: RACK (RFC 8985 §6; Linux: tcp_recovery.c). Without SACK: NewReno's head (RFC 6582).
#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/scoreboard.h"

namespace tapir::tcp {

class LossDetection {
 public:
  // What was delivered last, of all that was ever delivered (RFC 8985 §6.2 step 2). A retransmission acknowledged sooner than
  // `min_rtt` was the original's ACK, and tells nothing.
  void on_ack(const AckSummary& summary, Duration min_rtt, Instant now);

  struct Detected {
    std::uint32_t marked = 0;      // segments newly marked lost
    Duration look_again{};         // > 0: some may be lost by then (arm Timer::kReorder)
  };
  // Marks every segment that was sent longer ago than the last delivered one and should have arrived by now.
  // `reordering_window`: how much later than expected it may be (RFC 8985 §6.2 step 4).
  Detected detect(Scoreboard& scoreboard, Duration reordering_window, Instant now);

  // Linux's tcp_rack_reo_wnd: none once in recovery, or with enough SACKed, as long as no reordering was seen.
  static Duration reordering_window(bool reordering_seen, bool in_recovery, std::uint32_t sacked_out, std::uint32_t reordering,
                                    Duration min_rtt, Duration srtt);

 private:
  Instant sent_at_{};              // RACK.xmit_ts
  Duration rtt_{};                 // RACK.rtt
  SeqNum end_;                     // RACK.end_seq
  bool advanced_ = false;          // something new to judge by
};

}  // namespace tapir::tcp
