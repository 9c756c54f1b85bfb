// SPDX-License-Identifier: Apache-2.0
// What an acceptable ACK tells the sender: scoreboard -> rtt -> loss -> recovery -> congestion control ->
// timers.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/events.h"

namespace tapir::tcp {

using trace::Counter;
using namespace wire;

namespace {

// Added to the wait for reordered segments, and to a tail probe's (Linux: TCP_TIMEOUT_MIN_US).
constexpr Duration kTimeoutMin = 2ms;

}  // namespace

Recovery::Sender Connection::sender(Env& env, Instant now) {
  return {.scoreboard = busy_->scoreboard,
          .pool = env.transmissions,
          .window = window_,
          .control = *control_,
          .memory = loss_memory_,
          .ecn = ecn_,
          .resent_since = busy_->retransmits_began,
          .knobs = env.knobs,
          .counters = env.counters,
          .sack = sack_,
          .una = snd_.una,
          .nxt = snd_.nxt,
          .mss = snd_.mss,
          .delivered = rate_.delivered(),
          .min_rtt = rtt_.min_rtt(),
          .srtt = rtt_.srtt(),
          .now = now};
}

// Is the first block the report of a duplicate (RFC 2883 §4), and may it be (Linux: tcp_check_dsack,
// tcp_dsack_seen)? At most what was ever sent again can have arrived twice.
bool Connection::read_dsack(const TcpSegment& segment, Sacks& sacks, Env& env) {
  const SackBlock& first = segment.options.sack[0];
  const bool below = first.begin < segment.ack;
  const bool inside_next = segment.options.sack_count > 1 && first.begin >= segment.options.sack[1].begin &&
                           first.end <= segment.options.sack[1].end;
  if (!below && !inside_next) return false;
  env.counters.add(below ? Counter::kTcpExtTCPDSACKRecv : Counter::kTcpExtTCPDSACKOfoRecv);
  const std::uint32_t length = first.begin < first.end ? first.end - first.begin : 0;
  std::uint32_t segments = length != 0 && length <= snd_.max_wnd ? 1 : 0;
  if (segments != 0 && length > snd_.mss) segments = (length + snd_.mss - 1) / snd_.mss;
  sacks.dsack_of_tail_probe =
      segments != 0 && length <= snd_.mss && busy_->recovery.is_tail_probe_end(first.end);
  dsack_dups_ += segments;
  if (segments == 0 || dsack_dups_ > total_retransmits_) {
    env.counters.add(Counter::kTcpExtTCPDSACKIgnoredDubious);
    sacks.dsack_of_tail_probe = false;
    return false;
  }
  env.counters.add(Counter::kTcpExtTCPDSACKRecvSegs, segments);
  sacks.dsack = true;
  sacks.dsack_segments = segments;
  return true;
}

// Blocks count only where they speak of what is in flight (Linux: tcp_is_sackblock_valid).
Connection::Sacks Connection::read_sacks(const TcpSegment& segment, Env& env) {
  Sacks sacks;
  if (!sack_) return sacks;
  for (std::size_t i = 0; i < segment.options.sack_count; ++i) {
    const SackBlock& block = segment.options.sack[i];
    const bool duplicate = i == 0 && read_dsack(segment, sacks, env);
    const bool in_flight = block.begin < block.end && block.begin > snd_.una && block.end <= snd_.nxt;
    if (in_flight || duplicate)
      sacks.blocks[sacks.count++] = block;
    else if (block.begin <= block.end && !(block.end <= segment.ack))
      env.counters.add(Counter::kTcpExtTCPSACKDiscard);
  }
  return sacks;
}

void Connection::on_ack(const TcpSegment& segment, const AckEffects& effects, bool ece, Env& env,
                        Instant now) {
  const bool nothing_out = busy_->scoreboard.empty();
  const SeqNum una_before = snd_.una;
  const bool advanced = segment.ack > una_before;
  snd_.una = segment.ack;
  if (busy_->urgent.sending && snd_.una >= busy_->urgent.up) busy_->urgent.sending = false;
  const Sacks sacks = read_sacks(segment, env);
  AckSummary summary = busy_->scoreboard.apply(segment.ack, {sacks.blocks.data(), sacks.count}, sacks.dsack,
                                               ack_timing(segment), now, env.transmissions);
  summary.una_moved = advanced || summary.una_moved;
  busy_->send_buffer.acknowledge(min(max(segment.ack, busy_->send_buffer.begin()), busy_->send_buffer.end()),
                                 env.chunks);
  if (advanced) {
    bytes_acked_ += segment.ack - una_before;
    notes_on_acked(env, now);
    confirmed_ = true;
    retransmits_ = 0;
  }
  if (segment.payload.empty() && !effects.window_moved) env.counters.add(Counter::kTcpExtTCPPureAcks);
  sample_rtt(segment, summary, env, now);
  measure_receive_rtt(segment, now);
  judge_ack(segment, sacks, summary, una_before, advanced, effects, ece, false, env, now);
  if (nothing_out) after_window_opened(env, now);
}

AckTiming Connection::ack_timing(const TcpSegment& segment) const {
  AckTiming timing{
      .sack = sack_, .min_rtt = rtt_.min_rtt(), .echo = {}, .clock_at_zero = timestamp_clock(Instant{})};
  if (timestamps_ && segment.options.timestamps) timing.echo = segment.options.timestamps->echo;
  return timing;
}

// An ACK that was overtaken: its SACK blocks may still be news (Linux: tcp_ack's old_ack).
void Connection::on_old_ack(const TcpSegment& segment, Env& env, Instant now) {
  if (!sack_ || segment.options.sack_count == 0 || busy_->scoreboard.empty()) return;
  const Sacks sacks = read_sacks(segment, env);
  const AckSummary summary = busy_->scoreboard.apply(
      snd_.una, {sacks.blocks.data(), sacks.count}, sacks.dsack, ack_timing(segment), now, env.transmissions);
  if (summary.newly_sacked == 0 && !sacks.dsack) return;
  AckEffects effects;
  effects.carried_data = true;
  judge_ack(segment, sacks, summary, snd_.una, false, effects, false, true, env, now);
}

// loss -> recovery -> congestion control -> timers.
void Connection::judge_ack(const TcpSegment& segment, const Sacks& sacks, const AckSummary& summary,
                           SeqNum una_before, bool advanced, const AckEffects& effects, bool ece, bool old,
                           Env& env, Instant now) {
  const UnsentRecord* const unsent = busy_->unsent.front(env.unsent);
  const CaState before = busy_->recovery.state();
  const Instant stalled_since = busy_->retransmits_began;
  Recovery::Ack ack{.summary = summary, .una_before = una_before};
  ack.not_duplicate = advanced || effects.carried_data || effects.window_moved;
  // RFC 5681 §2: a duplicate acknowledges nothing new, carries nothing, and does not move the window.
  ack.duplicates = !ack.not_duplicate && !sacks.dsack && !busy_->scoreboard.empty() ? 1 : 0;
  ack.ece = ece;
  ack.dsack = sacks.dsack;
  ack.dsack_of_tail_probe = sacks.dsack_of_tail_probe;
  ack.dsack_segments = sacks.dsack_segments;
  if (sacks.dsack) ack.dsack_range = {sacks.blocks[0].begin, sacks.blocks[0].end};
  ack.may_send_new = unsent != nullptr && snd_.una + snd_.wnd > snd_.nxt;
  if (timestamps_ && segment.options.timestamps && segment.options.timestamps->echo != 0 &&
      busy_->retransmits_began != Instant{})
    ack.echo_before_resend =
        SeqNum(segment.options.timestamps->echo) < SeqNum(timestamp_clock(busy_->retransmits_began));

  const bool was_out = summary.una_moved || summary.newly_sacked != 0 || !busy_->scoreboard.empty();
  if (!was_out && !sacks.dsack && !busy_->recovery.tail_probe_out()) return;
  if (advanced || summary.newly_sacked != 0)
    control_->on_measured(window_, ack_sample(summary, summary.delivered, ece, env, now));
  const Recovery::Verdict verdict = was_out ? busy_->recovery.on_ack(sender(env, now), ack)
                                            : busy_->recovery.on_late_dsack(sender(env, now), ack);
  env.counters.add(Counter::kTcpExtTCPDelivered, verdict.delivered);
  if (ece) env.counters.add(Counter::kTcpExtTCPDeliveredCE, verdict.delivered);
  rate_.on_ack(summary, verdict.delivered, ece, busy_->recovery.reneged(), rtt_.min_rtt(), busy_->flight,
               now);
  if (before == CaState::kLoss && busy_->recovery.state() != CaState::kLoss) {
    if (stalled_since != Instant{}) rto_time_ms_ += static_cast<std::uint32_t>(to_msec(now - stalled_since));
  }
  if (busy_->mtu_probe.out()) {
    if (busy_->mtu_probe.arrived(snd_.una)) {
      on_mtu_probe_answered(std::exchange(busy_->mtu_probe, {}).size, env);
    } else if (before < CaState::kCwr && busy_->recovery.state() == CaState::kRecovery &&
               snd_.una == busy_->mtu_probe.begin) {
      // Too large for the path, which is no congestion (RFC 4821 §7.6): nothing is taken off the window for
      // it.
      busy_->recovery.forgive(sender(env, now));
      mtu_search_.on_lost(std::exchange(busy_->mtu_probe, {}).size);
      ++window_.cwnd;
      env.counters.add(Counter::kTcpExtTCPMTUPFail);
      refresh_mss(env);
      mark_oversized(false, env, now);
    }
  }
  // How long the window was little used is counted from here (Linux: snd_cwnd_stamp).
  if (verdict.may_grow || verdict.undone != Undo::kNone) cwnd_stamp_ = StampMs(now);
  if (verdict.may_grow && verdict.delivered != 0) {
    const AckSample sample = ack_sample(summary, verdict.delivered, ece, env, now);
    if (sample.cwnd_limited) control_->on_ack(window_, sample);
  }
  update_pacing_rate(env);
  if (verdict.undone != Undo::kNone)
    env.tracer.emit(now, Event::kUndo, subject_, static_cast<std::uint64_t>(verdict.undone), window_.cwnd,
                    window_.ssthresh);

  const Transmission* const head = busy_->scoreboard.first();
  if (head == nullptr) {
    disarm(Timer::kRetransmit);
    disarm(Timer::kReorder);
    disarm(Timer::kTailProbe);
    if (!has_unsent()) chronograph_.stop(Chronograph::What::kBusy, !fin_due(), now);
  } else if (verdict.reneged_wait > Duration::zero()) {
    arm_loss(Timer::kRetransmit, now + verdict.reneged_wait, env, now);
  } else if (verdict.look_again > Duration::zero()) {
    arm_loss(Timer::kReorder, now + verdict.look_again + kTimeoutMin, env, now);
  } else if (!old &&
             (advanced || (summary.sack_rtt >= Duration::zero() && summary.sack_rtt > now - head->sent_at))) {
    // RFC 6298 §5.3: a whole time-out from now for what is left; by a SACK only if it speaks of what left
    // after the head did.
    if (!schedule_tail_probe(true, env, now)) rearm_retransmit(env, now);
  }
  env.tracer.emit(now, Event::kCongestion, subject_, window_.cwnd, window_.ssthresh,
                  static_cast<std::uint64_t>(busy_->recovery.state()), busy_->scoreboard.in_flight());
}

// RFC 6298 §3 (Karn): a retransmitted segment gives no sample, unless timestamps tell which copy was answered
// (RFC 7323 §4).
void Connection::sample_rtt(const TcpSegment& segment, const AckSummary& summary, Env& env, Instant now) {
  Duration sample = summary.rtt >= Duration::zero() ? summary.rtt : summary.sack_rtt;
  if (sample < Duration::zero() && summary.una_moved && timestamps_ && segment.options.timestamps &&
      segment.options.timestamps->echo != 0) {
    const std::uint32_t elapsed = timestamp_clock(now) - segment.options.timestamps->echo;
    if (elapsed < 0x7fffffffU / 1000) sample = std::max<Duration>(std::chrono::milliseconds(elapsed), 1ms);
  }
  if (summary.ca_rtt > Duration::zero()) rtt_.on_min_sample(summary.ca_rtt, now);
  if (sample < Duration::zero()) return;
  rtt_.on_sample(std::max<Duration>(sample, 1us), now, snd_.una.value(), snd_.nxt.value(), env.knobs);
  rto_.set(rtt_.base_rto(env.knobs), env.knobs);
  backoff_ = 0;
}

// `delivered`: segments, as Linux's tcp_cong_avoid is told (delivered since the last ACK).
AckSample Connection::ack_sample(const AckSummary& summary, std::uint32_t delivered, bool ece, Env& env,
                                 Instant now) const {
  AckSample sample;
  sample.now = now;
  sample.acked = delivered;
  sample.in_flight = busy_->scoreboard.in_flight();
  sample.rtt = std::max(summary.ca_rtt, Duration::zero());
  sample.srtt = rtt_.srtt();
  sample.min_rtt = rtt_.min_rtt();
  sample.cwnd_limited = cwnd_limited_ || (window_.in_slow_start() && window_.cwnd < 2 * max_packets_out_);
  sample.ece = ece;
  sample.pacing = paced(env);
  sample.gso_max_size = gso_max_size(env) != 0 ? gso_max_size(env) : 65536U;
  sample.snd_una = snd_.una;
  sample.snd_nxt = snd_.nxt;
  sample.knobs = &env.knobs;
  sample.counters = &env.counters;
  return sample;
}

// Linux: tcp_update_pacing_rate: cwnd per srtt, times tcp_pacing_ss_ratio or tcp_pacing_ca_ratio percent.
void Connection::update_pacing_rate(const Env& env) {
  if (!rtt_.has_sample()) return;
  const auto ratio = static_cast<std::uint64_t>(
      window_.cwnd < window_.ssthresh / 2 ? env.knobs.tcp_pacing_ss_ratio : env.knobs.tcp_pacing_ca_ratio);
  const std::uint64_t bytes =
      std::uint64_t{snd_.mss} * std::max(window_.cwnd, busy_->scoreboard.packets_out());
  // bytes * ratio/100 per (srtt_us8 / 8) microseconds
  window_.pacing_rate = bytes * 80000 * ratio / std::max<std::uint32_t>(rtt_.srtt_us8(), 1);
  window_.pacing_rate = std::min<std::uint64_t>(window_.pacing_rate, options_->max_pacing_rate);
}

// The ACK of something while nothing was in flight: only the window can have changed (Linux: tcp_ack_probe).
void Connection::after_window_opened(Env& env, Instant now) {
  const UnsentRecord* const record = busy_->unsent.front(env.unsent);
  if (record == nullptr) return;
  if (record->begin + std::min<std::uint32_t>(record->end - record->begin, snd_.mss) <= snd_.una + snd_.wnd) {
    backoff_ = 0;
    busy_->probes_began = {};
    disarm(Timer::kProbe);
    return;
  }
  arm(Timer::kProbe, now + probe_delay(env, now), env, now);
}

}  // namespace tapir::tcp
