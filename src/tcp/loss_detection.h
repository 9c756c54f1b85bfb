// SPDX-License-Identifier: Apache-2.0
// Which segments are lost, judged by time: RACK (RFC 8985 §6; Linux: tcp_recovery.c). Without SACK: NewReno's
// head (RFC 6582).
#pragma once

#include <cstdint>

#include "base/time.h"
#include "tcp/scoreboard.h"

namespace tapir::tcp {

// Bits of the knob tcp_recovery (Linux: include/net/tcp.h).
inline constexpr int kRackStaticWindow = 2;    // the reordering window does not adapt to D-SACKs
inline constexpr int kRackNoDupThreshold = 4;  // a count of SACKed segments does not close the window

// What a connection remembers of its path from one loss to the next; the rest of the detection lasts while
// something is in flight.
struct LossMemory {
  std::uint32_t window_set_at = 0;  // count of delivered segments when the reordering window last grew
  std::uint16_t reorderings = 0;    // times reordering was seen (Linux: reord_seen); saturates
  std::uint16_t reordering =
      3;  // segments by which one may be overtaken (tcp_reordering at first; tcpi_reordering)
  std::uint8_t window_steps =
      1;  // reordering window in quarters of min_rtt (RFC 8985 §6.2 step 4: reo_wnd_mult)
  std::uint8_t window_persists = 0;  // recoveries for which a grown window is kept (reo_wnd_persist)
  bool dsack_pending = false;        // a D-SACK came that may be for reordering: grow the window
};

class LossDetection {
 public:
  // What was delivered last, of all that was ever delivered (RFC 8985 §6.2 step 2).
  void on_ack(const AckSummary& summary);

  struct Detected {
    bool retransmission_lost = false;  // a copy was lost again
    Duration look_again{};             // > 0: some may be lost by then (arm Timer::kReorder)
  };
  // Marks every segment that was sent longer ago than the last delivered one and should have arrived by now,
  // if anything was delivered since it was last asked. `reordering_window`: how much later than expected it
  // may be (RFC 8985 §6.2 step 4).
  Detected detect(Scoreboard& scoreboard, Duration reordering_window, Instant now, bool by_timer = false);
  // Round trip of what was delivered last (RACK.rtt); zero: nothing was.
  Duration rtt() const { return rtt_; }
  // An undo: what was not marked is looked at again (Linux: rack.advanced = 1 in tcp_undo_cwnd_reduction).
  void examine_again() { advanced_ = true; }

  // Linux's tcp_rack_reo_wnd: none once in recovery, or with enough SACKed, as long as no reordering was
  // seen.
  static Duration reordering_window(const LossMemory& memory, bool in_recovery, std::uint32_t sacked_out,
                                    int tcp_recovery, Duration min_rtt, Duration srtt);
  // RFC 8985 §6.2 step 4's adaptation (Linux: tcp_rack_update_reo_wnd). `delivered`: segments ever delivered;
  // `prior_delivered`: when the latest segment that this ACK delivers was sent.
  static void adapt_window(LossMemory& memory, std::uint32_t delivered, std::uint32_t prior_delivered,
                           int tcp_recovery);

 private:
  Instant sent_at_{};      // RACK.xmit_ts
  Duration rtt_{};         // RACK.rtt
  SeqNum end_;             // RACK.end_seq
  bool advanced_ = false;  // something was delivered since the last detect()
};

}  // namespace tapir::tcp
