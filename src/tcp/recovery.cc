// SPDX-License-Identifier: Apache-2.0
#include "tcp/recovery.h"

#include <algorithm>
#include <utility>

namespace tapir::tcp {

using trace::Counter;

namespace {

// "No threshold yet" (Linux: TCP_INFINITE_SSTHRESH).
constexpr std::uint32_t kInfiniteSsthresh = 0x7fffffff;
// The least wait for a peer that took back what it SACKed to SACK it again (Linux: tcp_check_sack_reneging).
constexpr Duration kRenegeWaitMin = 10ms;

}  // namespace

void Recovery::note_lost(SeqNum seq) {
  if (!hint_valid_ || seq < resend_hint_) resend_hint_ = seq;
  hint_valid_ = true;
}

std::uint32_t Recovery::current_ssthresh(const Window& window) const {
  return reducing() ? window.ssthresh : std::max(window.ssthresh, (window.cwnd >> 1) + (window.cwnd >> 2));
}

// ---- the reduction ----

void Recovery::start_reduction(const Sender& sender) {
  Window& window = sender.window;
  high_seq_ = sender.nxt;
  probe_out_ = false;
  prr_delivered_ = 0;
  prr_out_ = 0;
  window.prior_cwnd = window.cwnd;
  window.cwnd_cnt = 0;
  forgiven_ssthresh_ = window.ssthresh;
  window.ssthresh = sender.control.ssthresh_after_loss(window);
  sender.ecn.owe_cwr();
}

// RFC 6937 §3 with its slow-start reduction bound, in segments.
void Recovery::reduce(const Sender& sender, std::uint32_t delivered, std::uint32_t lost, bool una_moved) {
  Window& window = sender.window;
  if (delivered == 0 || window.prior_cwnd == 0) return;
  prr_delivered_ += delivered;
  const std::uint32_t in_flight = sender.scoreboard.in_flight();
  std::int64_t allowed = 0;
  if (in_flight > window.ssthresh) {
    const std::uint64_t share =
        (std::uint64_t{window.ssthresh} * prr_delivered_ + window.prior_cwnd - 1) / window.prior_cwnd;
    allowed = static_cast<std::int64_t>(share) - prr_out_;
  } else {
    allowed = std::max<std::int64_t>(std::int64_t{prr_delivered_} - prr_out_, delivered);
    // One more while the retransmissions work; ECE alone (state CWR) is no sign that anything does.
    if (una_moved && lost == 0 && state_ == CaState::kRecovery) ++allowed;
    allowed = std::min<std::int64_t>(allowed, std::int64_t{window.ssthresh} - in_flight);
  }
  // The fast retransmission itself always leaves.
  allowed = std::max<std::int64_t>(allowed, prr_out_ != 0 ? 0 : 1);
  window.cwnd = in_flight + static_cast<std::uint32_t>(allowed);
}

void Recovery::end_reduction(Window& window) {
  if (window.ssthresh < kInfiniteSsthresh && (state_ == CaState::kCwr || may_undo_))
    window.cwnd = window.ssthresh;
}

void Recovery::enter_cwr(const Sender& sender) {
  prior_ssthresh_ = 0;
  if (state_ >= CaState::kCwr) return;
  may_undo_ = false;
  start_reduction(sender);
  state_ = CaState::kCwr;
}

void Recovery::enter_recovery(const Sender& sender, bool ece) {
  if (!sender.scoreboard.anything_resent()) sender.resent_since = {};
  sender.counters.add(sender.sack ? Counter::kTcpExtTCPSackRecovery : Counter::kTcpExtTCPRenoRecovery);
  prior_ssthresh_ = 0;
  start_undo(sender);
  if (!reducing()) {
    if (!ece) prior_ssthresh_ = current_ssthresh(sender.window);
    start_reduction(sender);
  }
  state_ = CaState::kRecovery;
}

// ---- undoing it ----

void Recovery::start_undo(const Sender& sender) {
  may_undo_ = true;
  undo_marker_ = sender.una;
  undo_retrans_ = static_cast<std::int32_t>(sender.scoreboard.retrans_out());
  // A tail probe out is a retransmission too, though not counted as one.
  if (probe_out_ && probe_was_again_) ++undo_retrans_;
  if (undo_retrans_ == 0) undo_retrans_ = -1;
}

// Was it the original that arrived (RFC 3522 §3.2, by timestamps), or has nothing been sent again at all?
bool Recovery::delayed(const Ack& ack, const Sender& sender) const {
  if (sender.resent_since != Instant{}) return ack.echo_before_resend;
  // Nothing was sent again, but where stays_open_guard() forgot that something was.
  return sender.sack || sender.una < high_seq_;
}

bool Recovery::retransmissions_needless(const Ack& ack, const Sender& sender) const {
  return may_undo_ && (undo_retrans_ == 0 || delayed(ack, sender));
}

void Recovery::undo(const Sender& sender, bool unmark) {
  if (unmark) {
    for (Transmission* t = sender.scoreboard.first(); t != nullptr; t = sender.scoreboard.next(*t))
      sender.scoreboard.unmark_lost(*t);
    hint_valid_ = false;
  }
  if (prior_ssthresh_ != 0) {
    Window& window = sender.window;
    window.cwnd = sender.control.cwnd_after_undo(window);
    if (prior_ssthresh_ > window.ssthresh) {
      window.ssthresh = prior_ssthresh_;
      sender.ecn.withdraw_cwr();
    }
  }
  may_undo_ = false;
  rack_.examine_again();
}

// Every retransmission was reported as a duplicate (RFC 3708).
bool Recovery::undo_by_dsack(const Sender& sender, Verdict& verdict) {
  if (!may_undo_ || undo_retrans_ != 0) return false;
  sender.memory.window_persists = static_cast<std::uint8_t>(std::min(sender.memory.window_persists + 1, 16));
  undo(sender, false);
  sender.counters.add(Counter::kTcpExtTCPDSACKUndo);
  verdict.undone = Undo::kDsack;
  return true;
}

// A partial ACK of the original: the hole was late, not lost. True: nothing more is to be judged by this ACK.
bool Recovery::undo_partial(const Sender& sender, const Ack& ack, Verdict& verdict) {
  if (!may_undo_ || !delayed(ack, sender)) return false;
  const std::uint32_t behind = sender.scoreboard.highest_sacked() - ack.una_before;
  if (ack.una_before < sender.scoreboard.highest_sacked())
    note_reordering(sender, (behind + sender.mss - 1) / sender.mss, Counter::kTcpExtTCPTSReorder);
  // What is in flight again must come back first; meanwhile nothing more is taken for lost.
  if (sender.scoreboard.retrans_out() != 0) return true;
  if (!sender.scoreboard.anything_resent()) sender.resent_since = {};
  undo(sender, true);
  sender.counters.add(Counter::kTcpExtTCPPartialUndo);
  verdict.undone = Undo::kPartial;
  keep_open(sender);
  return false;
}

bool Recovery::undo_loss(const Sender& sender, const Ack& ack, bool frto, Verdict& verdict) {
  if (!frto && !retransmissions_needless(ack, sender)) return false;
  undo(sender, true);
  sender.counters.add(Counter::kTcpExtTCPLossUndo);
  verdict.undone = frto ? Undo::kSpuriousRto : Undo::kLoss;
  if (frto) sender.counters.add(Counter::kTcpExtTCPSpuriousRTOs);
  if (stays_open_guard(sender)) return true;
  if (frto || sender.sack) {
    state_ = CaState::kOpen;
    reneged_ = false;
  }
  return true;
}

// Without SACK a recovery is held until something above high_seq is acknowledged: duplicate ACKs of the
// retransmissions would look like a new loss (RFC 6582 §5).
bool Recovery::stays_open_guard(const Sender& sender) const {
  if (sender.sack || sender.una != high_seq_) return false;
  if (!sender.scoreboard.anything_resent()) sender.resent_since = {};
  return true;
}

// una reached high_seq: the episode is over. True: the state is held all the same.
bool Recovery::leave(const Sender& sender, const Ack& ack, Verdict& verdict) {
  if (retransmissions_needless(ack, sender)) {
    const bool loss = state_ == CaState::kLoss;
    undo(sender, false);
    sender.counters.add(loss ? Counter::kTcpExtTCPLossUndo : Counter::kTcpExtTCPFullUndo);
    verdict.undone = loss ? Undo::kLoss : Undo::kFull;
  } else if (sender.memory.window_persists != 0) {
    --sender.memory.window_persists;
  }
  if (stays_open_guard(sender)) return true;
  state_ = CaState::kOpen;
  reneged_ = false;
  return false;
}

void Recovery::keep_open(const Sender& sender) {
  const bool disorder = sender.scoreboard.left_out() != 0 || sender.scoreboard.anything_resent();
  const CaState next = disorder ? CaState::kDisorder : CaState::kOpen;
  if (state_ == next) return;
  state_ = next;
  high_seq_ = sender.nxt;
}

void Recovery::try_open(const Sender& sender, bool ece) {
  if (!sender.scoreboard.anything_resent()) sender.resent_since = {};
  if (ece) enter_cwr(sender);
  if (state_ != CaState::kCwr) keep_open(sender);
}

// ---- judging ----

void Recovery::note_reordering(const Sender& sender, std::uint32_t segments, Counter counter) {
  // What is counted without SACK takes the place of what was known, also when it is less (Linux:
  // tcp_check_reno_reordering).
  if (segments > sender.memory.reordering || counter == Counter::kTcpExtTCPRenoReorder) {
    const auto most = static_cast<std::uint32_t>(std::clamp(sender.knobs.tcp_max_reordering, 0, 0xffff));
    sender.memory.reordering = static_cast<std::uint16_t>(std::min(segments, most));
  }
  if (sender.memory.reorderings != 0xffff) ++sender.memory.reorderings;
  sender.counters.add(counter);
}

std::uint32_t Recovery::add_reno_sack(const Sender& sender, std::uint32_t n) {
  if (n == 0 || sender.sack || sender.scoreboard.empty()) return 0;
  const std::uint32_t added = sender.scoreboard.add_reno_sack(n);
  // More duplicate ACKs than there can be losses: the hole was filled by what was late.
  if (added < n) note_reordering(sender, sender.scoreboard.packets_out(), Counter::kTcpExtTCPRenoReorder);
  return added;
}

// What a D-SACK says of the retransmissions (Linux: tcp_check_dsack, tcp_sacktag_one).
void Recovery::count_dsack(const Sender& sender, const Ack& ack) {
  if (sender.memory.reorderings != 0 && !ack.dsack_of_tail_probe) sender.memory.dsack_pending = true;
  if (!may_undo_ || undo_retrans_ <= 0) return;
  std::uint32_t needless = ack.summary.dsack_retransmitted;
  if (ack.dsack_range.end <= ack.una_before && ack.dsack_range.end > undo_marker_)
    needless = ack.dsack_segments;
  undo_retrans_ = std::max(0, undo_retrans_ - static_cast<std::int32_t>(needless));
}

// RFC 8985 §7.4.2: did the probe repair a loss, which nobody else saw?
void Recovery::answer_tail_probe(const Sender& sender, const Ack& ack) {
  if (!probe_out_ || sender.una < probe_end_) return;
  if (!probe_was_again_ || ack.dsack_of_tail_probe) {
    probe_out_ = false;
  } else if (sender.una > probe_end_) {
    start_reduction(sender);
    state_ = CaState::kCwr;
    end_reduction(sender.window);
    keep_open(sender);
    sender.counters.add(Counter::kTcpExtTCPLossProbeRecovery);
  } else if (!ack.summary.una_moved && !ack.not_duplicate && ack.summary.newly_sacked == 0) {
    probe_out_ = false;
  }
}

void Recovery::identify_losses(const Sender& sender, bool una_moved, Verdict& verdict) {
  Scoreboard& scoreboard = sender.scoreboard;
  if (scoreboard.empty()) return;
  if (!sender.sack) {
    const bool enough = state_ < CaState::kRecovery && scoreboard.sacked_out() >= sender.memory.reordering;
    const bool partial = state_ == CaState::kRecovery && una_moved;
    if ((enough || partial) && scoreboard.mark_head_lost(sender.pool) > 0) note_lost(sender.una);
    return;
  }
  const Duration window =
      LossDetection::reordering_window(sender.memory, state_ >= CaState::kRecovery, scoreboard.sacked_out(),
                                       sender.knobs.tcp_recovery, sender.min_rtt, sender.srtt);
  const std::uint32_t before = scoreboard.lost_total();
  const LossDetection::Detected detected = rack_.detect(scoreboard, window, sender.now);
  if (scoreboard.lost_total() != before) note_lost(sender.una);
  if (detected.retransmission_lost) sender.counters.add(Counter::kTcpExtTCPLostRetransmit);
  verdict.look_again = std::max(verdict.look_again, detected.look_again);
  lost_again_ = lost_again_ || detected.retransmission_lost;
}

bool Recovery::time_to_recover(const Sender& sender) const { return sender.scoreboard.lost_out() > 0; }

// An ACK in state Loss (RFC 5682 §3.1, with SACK; Linux: tcp_process_loss). True: what is lost is to be sent
// again.
bool Recovery::in_loss(const Sender& sender, const Ack& ack, Verdict& verdict) {
  const AckSummary& summary = ack.summary;
  const bool recovered = sender.una >= high_seq_;
  if (summary.una_moved && undo_loss(sender, ack, false, verdict)) return false;
  if (frto_) {
    // Step 3b: data that was never sent again arrived, from before the time-out: not all was lost.
    const bool original = summary.original_acked && summary.original_acked_end <= high_seq_ &&
                          (sender.sack || !summary.retransmitted_acked);
    if (original && undo_loss(sender, ack, true, verdict)) return false;
    if (sender.nxt > high_seq_) {
      if (summary.newly_sacked != 0 || ack.duplicates != 0) frto_ = false;  // step 3a: the loss was real
    } else if (summary.una_moved && !recovered) {
      high_seq_ = sender.nxt;
      if (ack.may_send_new) {  // step 2b
        new_data_first_ = true;
        return false;
      }
      frto_ = false;
    }
  }
  if (recovered) {
    leave(sender, ack, verdict);
    return false;
  }
  if (!sender.sack) {
    if (sender.nxt > high_seq_ && ack.duplicates != 0)
      verdict.delivered += add_reno_sack(sender, ack.duplicates);
    else if (summary.una_moved)
      sender.scoreboard.reset_reno_sack();
  }
  return true;
}

// una reached high_seq: what the episode asked for ends. True: the state is held all the same.
bool Recovery::exit_episode(const Sender& sender, const Ack& ack, Verdict& verdict) {
  if (state_ == CaState::kCwr && sender.una != high_seq_) {
    end_reduction(sender.window);
    state_ = CaState::kOpen;
  } else if (state_ == CaState::kRecovery) {
    if (!sender.sack) sender.scoreboard.reset_reno_sack();
    if (leave(sender, ack, verdict)) return true;
    end_reduction(sender.window);
  }
  return false;
}

// An ACK in state Recovery. True: a new recovery is to be decided on, because this one was undone.
bool Recovery::in_recovery(const Sender& sender, const Ack& ack, Verdict& verdict) {
  if (!ack.summary.una_moved)
    verdict.delivered += add_reno_sack(sender, ack.duplicates);
  else if (undo_partial(sender, ack, verdict))
    return false;
  if (undo_by_dsack(sender, verdict)) try_open(sender, ack.ece);
  identify_losses(sender, ack.summary.una_moved, verdict);
  if (state_ == CaState::kRecovery) resending_ = true;
  return state_ != CaState::kRecovery;
}

// An ACK that is more than progress: by state (Linux: tcp_fastretrans_alert).
void Recovery::alert(const Sender& sender, const Ack& ack, Verdict& verdict) {
  Scoreboard& scoreboard = sender.scoreboard;
  const AckSummary& summary = ack.summary;
  lost_again_ = false;
  if (scoreboard.empty()) scoreboard.reset_reno_sack();
  if (ack.ece) prior_ssthresh_ = 0;
  if (summary.reneged && summary.una_moved) {
    // The peer may yet SACK it again; soon it counts as lost.
    verdict.reneged_wait = std::max<Duration>(sender.srtt / 2, kRenegeWaitMin);
    return;
  }
  if (state_ == CaState::kOpen)
    sender.resent_since = {};
  else if (sender.una >= high_seq_ && exit_episode(sender, ack, verdict))
    return;

  if (state_ == CaState::kRecovery) {
    if (!in_recovery(sender, ack, verdict) || !time_to_recover(sender)) return;
  } else {
    if (state_ == CaState::kLoss) {
      resending_ = in_loss(sender, ack, verdict);
      identify_losses(sender, summary.una_moved, verdict);
      if (state_ != CaState::kOpen && !lost_again_) return;
    }
    if (!sender.sack) {
      if (summary.una_moved) scoreboard.reset_reno_sack();
      verdict.delivered += add_reno_sack(sender, ack.duplicates);
    }
    if (state_ <= CaState::kDisorder) undo_by_dsack(sender, verdict);
    identify_losses(sender, summary.una_moved, verdict);
    if (!time_to_recover(sender)) return try_open(sender, ack.ece);
  }
  enter_recovery(sender, ack.ece);
  new_data_first_ = false;
  resending_ = true;
}

Recovery::Verdict Recovery::on_ack(const Sender& sender, const Ack& ack) {
  Verdict verdict;
  const AckSummary& summary = ack.summary;
  const std::uint32_t lost_before = sender.scoreboard.lost_total();
  resending_ = new_data_first_ = false;
  rack_.on_ack(summary);
  // First: the D-SACK that tells of the first reordering does not widen its window (Linux: tcp_check_dsack
  // before the scoreboard).
  if (ack.dsack) count_dsack(sender, ack);
  if (summary.reordering_sacked > 0 && (state_ != CaState::kLoss || may_undo_))
    note_reordering(sender, summary.reordering_sacked, Counter::kTcpExtTCPSACKReorder);
  if (summary.reordering_acked > 0)
    note_reordering(sender, summary.reordering_acked, Counter::kTcpExtTCPSACKReorder);
  verdict.delivered = summary.delivered + (ack.dsack ? ack.dsack_segments : 0);
  // Of a connection without SACK, the segments whose duplicate ACKs were counted arrived before.
  if (!sender.sack && summary.una_moved) {
    const std::uint32_t acked = summary.newly_acked;
    const std::uint32_t before = sender.scoreboard.sacked_out();
    verdict.delivered = sender.scoreboard.remove_reno_sacks(acked);
    // One of those acknowledged was the hole, the others had their duplicate ACKs; are more left than there
    // is room for, they were late.
    if (acked > 0 && sender.scoreboard.sacked_out() + std::min(before, acked - 1) < before)
      note_reordering(sender, sender.scoreboard.packets_out() + acked, Counter::kTcpExtTCPRenoReorder);
  }
  LossDetection::adapt_window(sender.memory, sender.delivered + verdict.delivered,
                              summary.anything_delivered ? summary.latest_delivered : 0,
                              sender.knobs.tcp_recovery);
  answer_tail_probe(sender, ack);
  const bool dubious =
      !ack.not_duplicate || summary.newly_sacked != 0 || ack.ece || ack.dsack || state_ != CaState::kOpen;
  if (dubious) alert(sender, ack, verdict);

  verdict.lost = sender.scoreboard.lost_total() - lost_before;
  if (reducing()) {
    reduce(sender, verdict.delivered, verdict.lost, summary.una_moved);
  } else {
    // With much reordering the cumulative ACK stands still for long: what is SACKed counts too.
    const bool progress = sender.memory.reordering > sender.knobs.tcp_reordering && summary.newly_sacked != 0;
    verdict.may_grow = summary.una_moved || progress;
  }
  return verdict;
}

Recovery::Verdict Recovery::on_late_dsack(const Sender& sender, const Ack& ack) {
  Verdict verdict;
  if (ack.dsack) count_dsack(sender, ack);
  verdict.delivered = ack.dsack_segments;
  answer_tail_probe(sender, ack);
  if (ack.dsack) alert(sender, ack, verdict);
  resending_ = false;
  return verdict;
}

// ---- timers ----

void Recovery::on_rto(const Sender& sender, unsigned times, bool probing_mtu) {
  Window& window = sender.window;
  Scoreboard& scoreboard = sender.scoreboard;
  const bool new_recovery = state_ < CaState::kRecovery;
  const Transmission* const head = scoreboard.first();
  const bool reneged = head != nullptr && head->sacked;
  if (reneged) {
    sender.counters.add(Counter::kTcpExtTCPSACKReneging);
    reneged_ = true;
  } else if (!sender.sack) {
    scoreboard.reset_reno_sack();
  }
  const std::uint32_t sacked = scoreboard.sacked_out();
  scoreboard.mark_timed_out(reneged, rack_.rtt(), sender.now);
  if (state_ <= CaState::kDisorder || sender.una >= high_seq_ || (state_ == CaState::kLoss && times == 0)) {
    prior_ssthresh_ = current_ssthresh(window);
    window.prior_cwnd = window.cwnd;
    window.ssthresh = sender.control.ssthresh_after_loss(window);
    start_undo(sender);
  }
  sender.control.on_timeout(window, sender.now);
  window.cwnd = scoreboard.in_flight() + 1;
  window.cwnd_cnt = 0;
  // So many were SACKed and it came to this: the reordering is less than was thought.
  const auto least = static_cast<std::uint32_t>(std::max(sender.knobs.tcp_reordering, 0));
  if (state_ <= CaState::kDisorder && sacked >= least)
    sender.memory.reordering =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(sender.memory.reordering, least));
  state_ = CaState::kLoss;
  high_seq_ = sender.nxt;
  probe_out_ = false;
  sender.ecn.owe_cwr();
  frto_ = sender.knobs.tcp_frto != 0 && (new_recovery || times != 0) && !probing_mtu;
  resend_hint_ = sender.una;
  hint_valid_ = true;
  resending_ = true;
  new_data_first_ = false;
}

void Recovery::on_reorder_timeout(const Sender& sender) {
  Scoreboard& scoreboard = sender.scoreboard;
  const std::uint32_t in_flight = scoreboard.in_flight();
  const std::uint32_t before = scoreboard.lost_total();
  const Duration window =
      LossDetection::reordering_window(sender.memory, state_ >= CaState::kRecovery, scoreboard.sacked_out(),
                                       sender.knobs.tcp_recovery, sender.min_rtt, sender.srtt);
  const LossDetection::Detected detected = rack_.detect(scoreboard, window, sender.now, true);
  if (detected.retransmission_lost) sender.counters.add(Counter::kTcpExtTCPLostRetransmit);
  if (scoreboard.in_flight() == in_flight) return;
  note_lost(sender.una);
  if (state_ != CaState::kRecovery) {
    enter_recovery(sender, false);
    reduce(sender, 1, scoreboard.lost_total() - before, false);
  }
  new_data_first_ = false;
  resending_ = true;
}

void Recovery::on_path_mtu(const Sender& sender) {
  if (sender.scoreboard.lost_out() == 0) return;
  note_lost(sender.una);
  if (state_ != CaState::kLoss) {
    high_seq_ = sender.nxt;
    sender.window.ssthresh = current_ssthresh(sender.window);
    prior_ssthresh_ = 0;
    may_undo_ = false;
    frto_ = false;
    state_ = CaState::kLoss;
  }
  resending_ = true;
}

void Recovery::forgive(const Sender& sender) {
  if (state_ != CaState::kRecovery) return;
  sender.window.cwnd = sender.window.prior_cwnd;
  sender.window.ssthresh = forgiven_ssthresh_;
  sender.ecn.withdraw_cwr();
  may_undo_ = false;
  state_ = CaState::kOpen;
}

// ---- what goes again ----

Transmission* Recovery::poll(Scoreboard& scoreboard) {
  if (!resending_ || !hint_valid_ || scoreboard.lost_out() <= scoreboard.retrans_out()) return nullptr;
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

bool Recovery::new_data_failed(SeqNum nxt) {
  if (!std::exchange(new_data_first_, false)) return false;
  if (nxt > high_seq_) return false;
  frto_ = false;
  resending_ = true;
  return true;
}

void Recovery::on_resent(std::uint32_t segments, Instant at, Instant& resent_since) {
  if (resent_since == Instant{}) resent_since = at;
  if (undo_retrans_ < 0) undo_retrans_ = 0;
  undo_retrans_ += static_cast<std::int32_t>(segments);
  if (reducing()) prr_out_ += segments;
}

}  // namespace tapir::tcp
