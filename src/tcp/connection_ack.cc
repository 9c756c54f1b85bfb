// SPDX-License-Identifier: Apache-2.0
// What an acceptable ACK tells the sender: scoreboard -> rtt -> loss -> recovery -> congestion control -> timers.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/events.h"

namespace tapir::tcp {

using trace::Counter;
using namespace wire;

Recovery::Ack Connection::recovery_ack(const AckSummary& summary, bool duplicate, Env& env, Instant now) const {
  return {.summary = summary,
          .pool = env.transmissions,
          .duplicate = duplicate,
          .sack = sack_,
          .una = snd_.una,
          .nxt = snd_.nxt,
          .reordering = static_cast<std::uint32_t>(env.knobs.tcp_reordering),
          .min_rtt = rtt_.min_rtt(),
          .srtt = rtt_.srtt(),
          .now = now};
}

void Connection::on_ack(const TcpSegment& segment, const AckEffects& effects, bool ece, Env& env, Instant now) {
  const bool nothing_out = busy_->scoreboard.empty();
  // Blocks count only where they speak of what is in flight; a first block at or below una, or inside the second, is a D-SACK.
  std::array<SackBlock, kSackBlocksMax> blocks{};
  std::size_t count = 0;
  bool first_is_dsack = false;
  if (sack_) {
    for (std::size_t i = 0; i < segment.options.sack_count; ++i) {
      const SackBlock& block = segment.options.sack[i];
      if (!(block.begin < block.end)) continue;
      const bool inside_next = segment.options.sack_count > 1 && block.begin >= segment.options.sack[1].begin && block.end <= segment.options.sack[1].end;
      if (i == 0 && (block.end <= segment.ack || inside_next)) {
        first_is_dsack = true;
        env.counters.add(Counter::kTcpExtTCPDSACKRecv);
        ++dsack_dups_;
        continue;
      }
      if (block.begin < segment.ack || block.end > snd_.nxt) {
        env.counters.add(Counter::kTcpExtTCPSACKDiscard);
        continue;
      }
      blocks[count++] = block;
    }
  }
  const SeqNum una_before = snd_.una;
  const bool advanced = segment.ack > una_before;
  AckSummary summary = busy_->scoreboard.apply(segment.ack, {blocks.data(), count}, false, now, env.transmissions);
  summary.dsack = first_is_dsack;
  summary.una_moved = advanced || summary.una_moved;
  snd_.una = segment.ack;
  busy_->send_buffer.acknowledge(min(max(segment.ack, busy_->send_buffer.begin()), busy_->send_buffer.end()), env.chunks);
  if (advanced) {
    bytes_acked_ += segment.ack - una_before;
    notes_on_acked(env, now);
    confirmed_ = true;
    retransmits_ = 0;
  }
  if (segment.payload.empty() && !effects.window_moved) env.counters.add(Counter::kTcpExtTCPPureAcks);
  sample_rtt(segment, summary, env, now);
  measure_receive_rtt(segment, now);
  if (segment.has(kAck) && nothing_out) {
    after_window_opened(env, now);
    return;
  }

  if (summary.reneged) {
    env.counters.add(Counter::kTcpExtTCPSACKReneging);
    busy_->scoreboard.mark_all_lost(true, snd_.nxt);
    busy_->recovery.note_lost(snd_.una);
  }
  // RFC 5681 §2: a duplicate acknowledges nothing new, carries nothing, and does not move the window.
  const bool duplicate = !advanced && !effects.carried_data && !effects.window_moved && !busy_->scoreboard.empty();
  const Recovery::Verdict verdict = busy_->recovery.on_ack(recovery_ack(summary, duplicate, env, now), busy_->scoreboard, window_, *control_, env.counters);
  delivered_ += verdict.delivered;
  env.counters.add(Counter::kTcpExtTCPDelivered, verdict.delivered);
  if (verdict.may_grow && advanced) grow_window(summary, verdict.delivered, ece, now);
  if (verdict.look_again > Duration::zero()) arm(Timer::kReorder, now + verdict.look_again, env, now);
  else disarm(Timer::kReorder);
  if (busy_->recovery.state() == CaState::kOpen) retransmits_began_ = {};
  update_pacing_rate(env);
  if (busy_->scoreboard.empty()) {
    disarm(Timer::kRetransmit);
  } else if (advanced || summary.newly_sacked > 0) {
    // RFC 6298 §5.3: a whole time-out from now for what is left.
    deadline(Timer::kRetransmit) = now + rto_.value();
  }
  env.tracer.emit(now, Event::kCongestion, subject_, window_.cwnd, window_.ssthresh, static_cast<std::uint64_t>(busy_->recovery.state()),
                  busy_->scoreboard.in_flight());
}

// RFC 6298 §3 (Karn): a retransmitted segment gives no sample, unless timestamps tell which copy was answered (RFC 7323 §4).
void Connection::sample_rtt(const TcpSegment& segment, const AckSummary& summary, Env& env, Instant now) {
  Duration sample = summary.rtt;
  if (sample < Duration::zero() && summary.una_moved && ts_.on && segment.options.timestamps && segment.options.timestamps->echo != 0) {
    const std::uint32_t elapsed = timestamp_clock(now) - segment.options.timestamps->echo;
    if (elapsed < 0x7fffffffU / 1000) sample = std::max<Duration>(std::chrono::milliseconds(elapsed), 1ms);
  }
  if (sample < Duration::zero()) sample = summary.sack_rtt;
  if (summary.ca_rtt > Duration::zero()) rtt_.on_min_sample(summary.ca_rtt, now);
  if (sample < Duration::zero()) return;
  rtt_.on_sample(std::max<Duration>(sample, 1us), now, snd_.una.value(), snd_.nxt.value(), env.knobs);
  rto_.set(rtt_.base_rto(env.knobs), env.knobs);
  backoff_ = 0;
}

// `delivered`: segments, as Linux's tcp_cong_avoid is told (delivered since the last ACK).
void Connection::grow_window(const AckSummary& summary, std::uint32_t delivered, bool ece, Instant now) {
  if (delivered == 0) return;
  const bool limited = window_.in_slow_start() ? (cwnd_limited_ || window_.cwnd < 2 * max_packets_out_) : cwnd_limited_;
  AckSample sample;
  sample.now = now;
  sample.acked = delivered;
  sample.in_flight = busy_->scoreboard.in_flight();
  sample.rtt = std::max(summary.ca_rtt, Duration::zero());
  sample.srtt = rtt_.srtt();
  sample.min_rtt = rtt_.min_rtt();
  sample.cwnd_limited = limited;
  sample.ece = ece;
  sample.snd_una = snd_.una;
  sample.snd_nxt = snd_.nxt;
  if (sample.acked > 0 && limited) control_->on_ack(window_, sample);
}

// Linux: tcp_update_pacing_rate: cwnd per srtt, times tcp_pacing_ss_ratio or tcp_pacing_ca_ratio percent.
void Connection::update_pacing_rate(const Env& env) {
  if (!rtt_.has_sample()) return;
  const auto ratio = static_cast<std::uint64_t>(window_.cwnd < window_.ssthresh / 2 ? env.knobs.tcp_pacing_ss_ratio : env.knobs.tcp_pacing_ca_ratio);
  const std::uint64_t bytes = std::uint64_t{snd_.mss} * std::max(window_.cwnd, busy_->scoreboard.packets_out());
  // bytes * ratio/100 per (srtt_us8 / 8) microseconds
  window_.pacing_rate = bytes * 80000 * ratio / std::max<std::uint32_t>(rtt_.srtt_us8(), 1);
}

// The ACK of something while nothing was in flight: only the window can have changed (Linux: tcp_ack_probe).
void Connection::after_window_opened(Env& env, Instant now) {
  const UnsentRecord* const record = busy_->unsent.front(env.unsent);
  if (record == nullptr) return;
  if (record->begin + std::min<std::uint32_t>(record->end - record->begin, snd_.mss) <= snd_.una + snd_.wnd) {
    backoff_ = 0;
    probes_began_ = {};
    disarm(Timer::kProbe);
    return;
  }
  arm(Timer::kProbe, now + probe_delay(env, now), env, now);
}

}  // namespace tapir::tcp
