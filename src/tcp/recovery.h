// SPDX-License-Identifier: Apache-2.0
// What to do about loss: Linux's congestion states, NewReno (RFC 6582) and SACK recovery, the reduction of the window
// (proportional rate reduction, RFC 6937), and which segment to send again next.
//
//   Open <-> Disorder --(loss)--> Recovery --(una reaches high_seq)--> Open
//     any --(RTO)--> Loss --(una reaches high_seq)--> Open
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"
#include "tcp/congestion.h"
#include "tcp/loss_detection.h"
#include "tcp/scoreboard.h"
#include "trace/counters.h"

namespace tapir::tcp {

// Linux's numbering (TCP_CA_*), as TCP_INFO shows it.
enum class CaState : std::uint8_t { kOpen = 0, kDisorder = 1, kCwr = 2, kRecovery = 3, kLoss = 4 };

class Recovery {
 public:
  struct Ack {
    const AckSummary& summary;
    TransmissionPool& pool;
    bool duplicate = false;        // it moved nothing and carried nothing (RFC 5681 §2)
    bool sack = false;             // the connection uses SACK
    SeqNum una;                    // after this ACK
    SeqNum nxt;
    std::uint32_t reordering = 3;  // segments that may be overtaken before a loss is assumed (tcp_reordering)
    Duration min_rtt = Duration::max();
    Duration srtt{};
    Instant now{};
  };
  struct Verdict {
    bool may_grow = false;         // congestion control may raise the window for this ACK
    std::uint32_t delivered = 0;   // segments that this ACK says arrived, duplicate ACKs of a connection without SACK counted
    Duration look_again{};         // > 0: arm Timer::kReorder
  };
  // Order: after Scoreboard::apply() and Rtt, before congestion control.
  Verdict on_ack(const Ack& ack, Scoreboard& scoreboard, Window& window, CongestionControl& control, trace::Counters& counters);
  // The retransmission timer fired: everything is lost, start from one segment (RFC 5681 §3.1; Linux: tcp_enter_loss).
  void on_rto(Scoreboard& scoreboard, Window& window, CongestionControl& control, SeqNum una, SeqNum nxt, bool first_time, Instant now);
  // Timer::kReorder fired (Linux: tcp_rack_reo_timeout). Returns the next delay, or zero.
  Duration on_reorder_timeout(const Ack& ack, Scoreboard& scoreboard, Window& window, CongestionControl& control, trace::Counters& counters);

  // The next record to send again, or null. The caller checks the window first (but for the first of a recovery).
  Transmission* poll(Scoreboard& scoreboard);
  // It was sent again.
  void on_resent(std::uint32_t segments) { prr_out_ += segments; }
  void on_new_data_sent(std::uint32_t segments) {
    if (reducing()) prr_out_ += segments;
  }
  // A record below was marked lost: look there again.
  void note_lost(SeqNum seq);

  CaState state() const { return state_; }
  SeqNum high_seq() const { return high_seq_; }
  bool reducing() const { return state_ == CaState::kCwr || state_ == CaState::kRecovery; }
  bool reordering_seen() const { return reordering_seen_; }
  // Something was learnt, or is under way, that a fresh one would not know.
  bool remembers() const { return state_ != CaState::kOpen || reordering_seen_; }

 private:
  void enter_recovery(const Ack& ack, Window& window, CongestionControl& control, trace::Counters& counters);
  void start_reduction(SeqNum nxt, Window& window, CongestionControl& control);
  void reduce(std::uint32_t delivered, bool una_moved, std::uint32_t newly_lost, const Scoreboard& scoreboard, Window& window);
  void end_reduction(Window& window);
  std::uint32_t identify_losses(const Ack& ack, Scoreboard& scoreboard, Verdict& verdict);
  bool time_to_recover(const Ack& ack, const Scoreboard& scoreboard) const;

  LossDetection rack_;
  SeqNum high_seq_;                // snd.nxt when the trouble began: recovery ends when una reaches it
  SeqNum resend_hint_;             // nothing below it waits to be sent again
  std::uint32_t prr_delivered_ = 0;   // segments delivered during the reduction (RFC 6937)
  std::uint32_t prr_out_ = 0;         // segments sent during it
  CaState state_ = CaState::kOpen;
  bool reordering_seen_ = false;
  bool hint_valid_ = false;
};

}  // namespace tapir::tcp
