// SPDX-License-Identifier: Apache-2.0
#include "tcp/recovery.h"

#include <algorithm>

namespace tapir::tcp {

using trace::Counter;

void Recovery::note_lost(SeqNum seq) {
  if (!hint_valid_ || seq < resend_hint_) resend_hint_ = seq;
  hint_valid_ = true;
}

void Recovery::start_reduction(SeqNum nxt, Window& window, CongestionControl& control) {
  high_seq_ = nxt;
  prr_delivered_ = 0;
  prr_out_ = 0;
  window.prior_cwnd = window.cwnd;
  window.cwnd_cnt = 0;
  window.ssthresh = control.ssthresh_after_loss(window);
}

// RFC 6937 §3 with its slow-start reduction bound, in segments.
void Recovery::reduce(std::uint32_t delivered, bool una_moved, std::uint32_t newly_lost, const Scoreboard& scoreboard, Window& window) {
  if (delivered == 0 || window.prior_cwnd == 0) return;
  prr_delivered_ += delivered;
  const std::uint32_t in_flight = scoreboard.in_flight();
  std::int64_t allowed = 0;
  if (in_flight > window.ssthresh) {
    const std::uint64_t share = (std::uint64_t{window.ssthresh} * prr_delivered_ + window.prior_cwnd - 1) / window.prior_cwnd;
    allowed = static_cast<std::int64_t>(share) - prr_out_;
  } else {
    allowed = std::max<std::int64_t>(std::int64_t{prr_delivered_} - prr_out_, delivered);
    if (una_moved && newly_lost == 0) ++allowed;
    allowed = std::min<std::int64_t>(allowed, std::int64_t{window.ssthresh} - in_flight);
  }
  // The fast retransmission itself always leaves.
  allowed = std::max<std::int64_t>(allowed, prr_out_ != 0 ? 0 : 1);
  window.cwnd = in_flight + static_cast<std::uint32_t>(allowed);
}

void Recovery::end_reduction(Window& window) {
  if (window.ssthresh < 0x7fffffff) window.cwnd = window.ssthresh;
}

std::uint32_t Recovery::identify_losses(const Ack& ack, Scoreboard& scoreboard, Verdict& verdict) {
  std::uint32_t marked = 0;
  if (scoreboard.empty()) return marked;
  if (!ack.sack) {
    const bool enough = state_ < CaState::kRecovery && scoreboard.sacked_out() >= ack.reordering;
    const bool partial = state_ == CaState::kRecovery && ack.summary.una_moved;
    if (enough || partial) marked = scoreboard.mark_head_lost(ack.pool);
    if (marked > 0) note_lost(ack.una);
    return marked;
  }
  const Duration window = LossDetection::reordering_window(reordering_seen_, state_ >= CaState::kRecovery, scoreboard.sacked_out(),
                                                           ack.reordering, ack.min_rtt, ack.srtt);
  const LossDetection::Detected detected = rack_.detect(scoreboard, window, ack.now);
  marked = detected.marked;
  if (marked > 0) note_lost(ack.una);
  verdict.look_again = detected.look_again;
  return marked;
}

bool Recovery::time_to_recover(const Ack& ack, const Scoreboard& scoreboard) const {
  return scoreboard.lost_out() > 0 || (!ack.sack && scoreboard.sacked_out() >= ack.reordering);
}

void Recovery::enter_recovery(const Ack& ack, Window& window, CongestionControl& control, trace::Counters& counters) {
  counters.add(ack.sack ? Counter::kTcpExtTCPSackRecovery : Counter::kTcpExtTCPRenoRecovery);
  if (state_ != CaState::kCwr) start_reduction(ack.nxt, window, control);
  high_seq_ = ack.nxt;
  state_ = CaState::kRecovery;
}

Recovery::Verdict Recovery::on_ack(const Ack& ack, Scoreboard& scoreboard, Window& window, CongestionControl& control,
                                   trace::Counters& counters) {
  Verdict verdict;
  const AckSummary& summary = ack.summary;
  rack_.on_ack(summary, ack.min_rtt, ack.now);
  if (summary.reordering_seen > 0) reordering_seen_ = true;

  // Leave what una has outgrown. Without SACK, recovery is held until something above high_seq is acknowledged: duplicate ACKs of
  // the retransmissions would look like a new loss (RFC 6582 §5).
  if (state_ != CaState::kOpen && ack.una >= high_seq_) {
    switch (state_) {
      case CaState::kLoss:
        if (!ack.sack) scoreboard.reset_reno_sack();
        state_ = CaState::kOpen;
        break;
      case CaState::kCwr:
        if (ack.una != high_seq_) {
          end_reduction(window);
          state_ = CaState::kOpen;
        }
        break;
      case CaState::kRecovery:
        if (!ack.sack) scoreboard.reset_reno_sack();
        if (!ack.sack && ack.una == high_seq_) break;
        end_reduction(window);
        state_ = CaState::kOpen;
        break;
      default: break;
    }
  }

  std::uint32_t delivered = summary.delivered;
  if (!ack.sack) {
    // A duplicate ACK says that one segment left the network; the ACK that follows counts it no second time.
    if (summary.una_moved) delivered = scoreboard.remove_reno_sacks(summary.newly_acked);
    if (summary.una_moved && state_ < CaState::kRecovery) scoreboard.reset_reno_sack();
    if (ack.duplicate && !scoreboard.empty()) delivered += scoreboard.add_reno_sack(1);
  }

  verdict.delivered = delivered;
  const std::uint32_t newly_lost = identify_losses(ack, scoreboard, verdict);
  if (state_ < CaState::kRecovery) {
    if (time_to_recover(ack, scoreboard)) {
      enter_recovery(ack, window, control, counters);
    } else {
      if (state_ != CaState::kCwr) state_ = scoreboard.left_out() > 0 ? CaState::kDisorder : CaState::kOpen;
      verdict.may_grow = state_ != CaState::kCwr;
      if (state_ == CaState::kCwr) reduce(delivered, summary.una_moved, newly_lost, scoreboard, window);
      return verdict;
    }
  }
  if (state_ == CaState::kRecovery) {
    reduce(delivered, summary.una_moved, newly_lost, scoreboard, window);
    return verdict;
  }
  // Loss: slow start, as RFC 5681 §3.1 wants after a time-out.
  verdict.may_grow = state_ == CaState::kLoss;
  return verdict;
}

void Recovery::on_rto(Scoreboard& scoreboard, Window& window, CongestionControl& control, SeqNum una, SeqNum nxt, bool first_time,
                      Instant now) {
  const bool new_episode = state_ <= CaState::kDisorder || una >= high_seq_ || (state_ == CaState::kLoss && first_time);
  if (new_episode) {
    window.prior_cwnd = window.cwnd;
    window.ssthresh = control.ssthresh_after_loss(window);
    control.on_timeout(window, now);
  }
  scoreboard.mark_all_lost(false, nxt);
  note_lost(una);
  resend_hint_ = una;
  window.cwnd = scoreboard.in_flight() + 1;
  window.cwnd_cnt = 0;
  state_ = CaState::kLoss;
  high_seq_ = nxt;
}

Duration Recovery::on_reorder_timeout(const Ack& ack, Scoreboard& scoreboard, Window& window, CongestionControl& control,
                                      trace::Counters& counters) {
  Verdict verdict;
  const std::uint32_t marked = identify_losses(ack, scoreboard, verdict);
  if (marked > 0 && state_ < CaState::kRecovery) {
    enter_recovery(ack, window, control, counters);
    reduce(1, false, marked, scoreboard, window);
  }
  return verdict.look_again;
}

Transmission* Recovery::poll(Scoreboard& scoreboard) {
  if (!hint_valid_ || scoreboard.lost_out() == 0) return nullptr;
  Transmission* t = scoreboard.first();
  if (t == nullptr) return nullptr;
  if (t->range.begin < resend_hint_) {
    Transmission* const hinted = scoreboard.find(resend_hint_);
    if (hinted == nullptr) {
      hint_valid_ = false;
      return nullptr;
    }
    t = hinted;
  }
  for (; t != nullptr; t = scoreboard.next(*t)) {
    if (t->lost && !t->retransmitted) {
      resend_hint_ = t->range.begin;
      return t;
    }
  }
  hint_valid_ = false;
  return nullptr;
}

}  // namespace tapir::tcp
