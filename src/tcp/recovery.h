// SPDX-License-Identifier: Apache-2.0
// What to do about loss: Linux's congestion states, NewReno (RFC 6582) and SACK recovery (RFC 6675 by RACK's
// judgement, RFC 8985), the reduction of the window (proportional rate reduction, RFC 6937), its undoing when
// nothing was lost (RFC 3522, RFC 3708, RFC 5682), tail loss probes (RFC 8985 §7), and which segment to send
// again next.
//
//   Open <-> Disorder --(loss)--> Recovery --(una reaches high_seq)--> Open
//     any --(RTO)--> Loss --(una reaches high_seq)--> Open
//   Open, Disorder --(ECE, tail probe answered)--> CWR --(una passes high_seq)--> Open
#pragma once

#include <cstdint>

#include "base/seq_num.h"
#include "base/time.h"
#include "tcp/congestion.h"
#include "tcp/ecn.h"
#include "tcp/knobs.h"
#include "tcp/loss_detection.h"
#include "tcp/scoreboard.h"
#include "trace/counters.h"

namespace tapir::tcp {

// Linux's numbering (TCP_CA_*), as TCP_INFO shows it.
enum class CaState : std::uint8_t { kOpen = 0, kDisorder = 1, kCwr = 2, kRecovery = 3, kLoss = 4 };

// What moved or undid a window; the word of Event::kUndo.
enum class Undo : std::uint8_t { kNone, kFull, kPartial, kDsack, kLoss, kSpuriousRto };

class Recovery {
 public:
  // The parts of the connection that recovery works on, for the length of one call.
  struct Sender {
    Scoreboard& scoreboard;
    TransmissionPool& pool;
    Window& window;
    CongestionControl& control;
    LossMemory& memory;
    EcnState& ecn;
    Instant& resent_since;  // first retransmission of this episode (Linux: retrans_stamp); zero: none
    const Knobs& knobs;
    trace::Counters& counters;
    bool sack = false;  // the connection uses SACK
    SeqNum una;         // after the ACK
    SeqNum nxt;
    std::uint16_t mss = 1;
    std::uint32_t delivered = 0;  // segments ever delivered, before the ACK
    Duration min_rtt = Duration::max();
    Duration srtt{};
    Instant now{};
  };
  struct Ack {
    const AckSummary& summary;
    SeqNum una_before;
    std::uint32_t duplicates = 0;  // segments this ACK duplicates another's word for: 1, or 0 (RFC 5681 §2)
    bool not_duplicate = false;    // it carried data, moved the window, or acknowledged
    bool ece = false;
    bool dsack = false;  // a believable D-SACK
    bool dsack_of_tail_probe = false;
    SeqRange dsack_range{};
    std::uint32_t dsack_segments = 0;  // segments it reports
    bool echo_before_resend = false;   // its timestamp echo is older than the first retransmission (RFC 3522)
    bool may_send_new = false;         // there is something new to send, and the peer's window takes it
  };
  struct Verdict {
    bool may_grow = false;  // congestion control may raise the window for this ACK
    std::uint32_t delivered =
        0;  // segments that this ACK says arrived, duplicate ACKs of a connection without SACK counted
    std::uint32_t lost = 0;   // segments newly judged lost
    Duration look_again{};    // > 0: arm Timer::kReorder
    Duration reneged_wait{};  // > 0: the peer took back what it SACKed: arm Timer::kRetransmit so soon
    Undo undone = Undo::kNone;
  };
  // Order: after Scoreboard::apply() and Rtt, before congestion control (Linux: tcp_fastretrans_alert,
  // tcp_cwnd_reduction).
  Verdict on_ack(const Sender& sender, const Ack& ack);
  // The ACK came while nothing was in flight: only a D-SACK in it means something.
  Verdict on_late_dsack(const Sender& sender, const Ack& ack);
  // The retransmission timer fired: what is old is lost, start from one segment (RFC 5681 §3.1; Linux:
  // tcp_enter_loss). `times`: time-outs in a row before this one.
  void on_rto(const Sender& sender, unsigned times, bool probing_mtu);
  // Timer::kReorder fired (Linux: tcp_rack_reo_timeout).
  void on_reorder_timeout(const Sender& sender);
  // Records cut for a larger path are lost, which was not congestion (Linux: tcp_simple_retransmit). `lost`:
  // they are marked.
  void on_path_mtu(const Sender& sender);

  // What was just taken for a loss was a probe of the path's MTU: the window is as it was, and no recovery
  // was begun.
  void forgive(const Sender& sender);

  // ---- tail loss probe (RFC 8985 §7) ----
  bool tail_probe_out() const { return probe_out_; }
  bool is_tail_probe_end(SeqNum end) const { return probe_out_ && probe_end_ == end; }
  void on_tail_probe_sent(SeqNum nxt, bool again) {
    probe_out_ = true;
    probe_was_again_ = again;
    probe_end_ = nxt;
  }

  // The next record to send again, or null: nothing, not now, or new data goes first (RFC 5682 §3.1 step 2b).
  // The caller checks the window.
  Transmission* poll(Scoreboard& scoreboard);
  // New data was asked for after poll() said nothing; `nxt`: snd.nxt now. True: none went, so poll() again.
  bool new_data_failed(SeqNum nxt);
  // poll()'s record was sent again, `at` that time (Linux: tcp_retransmit_skb).
  void on_resent(std::uint32_t segments, Instant at, Instant& resent_since);
  void on_new_data_sent(std::uint32_t segments) {
    if (reducing()) prr_out_ += segments;
  }
  // A record there was marked lost: look there again.
  void note_lost(SeqNum seq);
  // What is marked lost from `seq` on goes again, without an episode (a Fast Open SYN's data).
  void resend_from(SeqNum seq) {
    note_lost(seq);
    resending_ = true;
  }
  // Something is marked lost and may go, as far as the windows allow.
  bool resending() const { return resending_ || new_data_first_; }
  // Until the next ACK or timer nothing more is to be sent again.
  void pause() { resending_ = false; }
  // Pacing let go.
  void resume(const Scoreboard& scoreboard) {
    resending_ = resending_ || scoreboard.lost_out() > scoreboard.retrans_out();
  }

  CaState state() const { return state_; }
  // The peer took back what it SACKed, not long ago: its ACKs tell no rate (Linux: is_sack_reneg).
  bool reneged() const { return reneged_; }
  SeqNum high_seq() const { return high_seq_; }
  bool reducing() const { return state_ == CaState::kCwr || state_ == CaState::kRecovery; }
  // Its state would be missed by a connection that has nothing in flight.
  bool remembers() const { return state_ != CaState::kOpen || probe_out_ || may_undo_; }
  // Congestion window once what is reduced is reduced (Linux: tcp_current_ssthresh).
  std::uint32_t current_ssthresh(const Window& window) const;
  // Linux: tcp_enter_cwr. ECE, or local congestion.
  void enter_cwr(const Sender& sender);

 private:
  void enter_recovery(const Sender& sender, bool ece);
  void start_reduction(const Sender& sender);
  void reduce(const Sender& sender, std::uint32_t delivered, std::uint32_t lost, bool una_moved);
  void end_reduction(Window& window);
  void start_undo(const Sender& sender);
  bool retransmissions_needless(const Ack& ack, const Sender& sender) const;
  bool delayed(const Ack& ack, const Sender& sender) const;
  void undo(const Sender& sender, bool unmark);
  bool undo_by_dsack(const Sender& sender, Verdict& verdict);
  bool undo_partial(const Sender& sender, const Ack& ack, Verdict& verdict);
  bool undo_loss(const Sender& sender, const Ack& ack, bool frto, Verdict& verdict);
  bool leave(const Sender& sender, const Ack& ack, Verdict& verdict);
  bool stays_open_guard(const Sender& sender) const;
  void try_open(const Sender& sender, bool ece);
  void keep_open(const Sender& sender);
  bool in_loss(const Sender& sender, const Ack& ack, Verdict& verdict);
  bool in_recovery(const Sender& sender, const Ack& ack, Verdict& verdict);
  bool exit_episode(const Sender& sender, const Ack& ack, Verdict& verdict);
  void alert(const Sender& sender, const Ack& ack, Verdict& verdict);
  void count_dsack(const Sender& sender, const Ack& ack);
  void answer_tail_probe(const Sender& sender, const Ack& ack);
  void identify_losses(const Sender& sender, bool una_moved, Verdict& verdict);
  bool time_to_recover(const Sender& sender) const;
  std::uint32_t add_reno_sack(const Sender& sender, std::uint32_t n);
  void note_reordering(const Sender& sender, std::uint32_t segments, trace::Counter counter);

  LossDetection rack_;
  SeqNum high_seq_;                      // snd.nxt when the trouble began: recovery ends when una reaches it
  SeqNum resend_hint_;                   // nothing below it waits to be sent again
  SeqNum undo_marker_;                   // snd.una when the window was cut (valid with may_undo_)
  SeqNum probe_end_;                     // snd.nxt when the tail probe left (RFC 8985: TLP.end_seq)
  std::int32_t undo_retrans_ = 0;        // retransmissions not yet reported as needless; < 0: none was made
  std::uint32_t prior_ssthresh_ = 0;     // to go back to; 0: there is no going back
  std::uint32_t forgiven_ssthresh_ = 0;  // before the reduction
  std::uint32_t prr_delivered_ = 0;      // segments delivered during the reduction (RFC 6937)
  std::uint32_t prr_out_ = 0;            // segments sent during it
  CaState state_ = CaState::kOpen;
  bool lost_again_ = false;  // identify_losses() found a copy lost
  bool may_undo_ = false;
  bool frto_ = false;  // the time-out may be spurious (RFC 5682)
  bool hint_valid_ = false;
  bool resending_ = false;
  bool new_data_first_ = false;
  bool probe_out_ = false;
  bool probe_was_again_ = false;  // the probe was a retransmission (RFC 8985: TLP.is_retrans)
  bool reneged_ = false;
};

}  // namespace tapir::tcp
