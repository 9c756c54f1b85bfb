// SPDX-License-Identifier: Apache-2.0
// The SYN of an active open and what answers it (RFC 9293 §3.10.1, §3.10.7.3; Linux: tcp_connect,
// tcp_rcv_synsent_state_process).
#include <algorithm>
#include <utility>

#include "tcp/connection.h"
#include "tcp/events.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;
using namespace wire;  // the names of flags and options

namespace {

// The least time that is worth waiting for (Linux: TCP_TIMEOUT_MIN, two ticks of 1 ms).
constexpr Duration kSoon = 2ms;

}  // namespace

bool Connection::emit_syn(OutgoingFrame& out, Env& env, Instant now) {
  const bool answer = state_ == State::kSynReceived;
  Transmission* record = busy_->scoreboard.first();
  const bool again = record != nullptr && record->syn;
  if (!again) {
    record = busy_->scoreboard.on_sent({snd_.iss, snd_.iss + 1}, snd_.mss, now, env.transmissions, true);
    if (record == nullptr) return false;  // no memory: the timer asks again
    snd_.nxt = snd_.iss + 1;
    if (!busy_->send_buffer.empty()) record_syn_data(env, now);
    rto_.set(1s, env.knobs);
  } else {
    busy_->scoreboard.on_resent(*record, record->range.end, snd_.mss, now, snd_.nxt, env.transmissions);
    env.counters.add(Counter::kTcpRetransSegs);
    env.counters.add(Counter::kTcpExtTCPSynRetrans);
    ++total_retransmits_;
    if (busy_->retransmits_began == Instant{}) busy_->retransmits_began = now;
  }
  syn_owed_ = false;

  TcpSegment segment;
  segment.src_port = tuple_.local.port;
  segment.dst_port = tuple_.remote.port;
  segment.seq = snd_.iss;
  segment.flags = kSyn;
  // RFC 3168 §6.1.1; a SYN that was not answered asks no more: something on the way may drop it for that
  // (§6.1.1.1).
  if (!answer && again && env.knobs.tcp_ecn_fallback != 0) ecn_.wanted = false;
  if (!answer && ecn_.wanted) segment.flags |= kEce | kCwr;
  if (answer) {
    if (ecn_.on) segment.flags |= kEce;
    segment.flags |= kAck;
    segment.ack = rcv_.nxt;
  }
  segment.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(rcv_.wnd, 65535));
  rcv_.advmss = std::min(rcv_.advmss,
                         path_->advmss);  // a path MTU may have been learnt since (Linux: tcp_advertise_mss)
  segment.options.mss = rcv_.advmss;
  if (timestamps_) segment.options.timestamps = TcpTimestamps{timestamp_clock(now), answer ? ts_.recent : 0};
  segment.options.sack_permitted = sack_;
  if (window_scaling_) segment.options.window_scale = rcv_.wscale;
  // What a SYN sent again leaves out: whatever the first one carried may be why it was lost.
  if (!again && has_mark(kFastOpenAsked)) offer_fast_open(segment.options, env, now);
  if (signs()) segment.options.md5.emplace();
  if (tcp_options_length(segment.options, true) > kTcpOptionBytesMax) segment.options.fast_open.reset();
  const MutableBytes header = out.append_header(tcp_header_length(segment.options, true));
  emit_tcp(segment, header);
  const std::uint32_t payload = again ? 0 : snd_.nxt - (snd_.iss + 1);
  if (payload > 0) busy_->send_buffer.collect({snd_.iss + 1, snd_.nxt}, out);
  out.checksum = {.wanted = true, .start = 0, .offset = static_cast<std::uint16_t>(kTcpChecksumOffset)};
  ++segments_out_;
  env.counters.add(Counter::kTcpOutSegs);
  trace_segment(Event::kSegmentOut, segment, payload, env, now);
  if (answer) {
    note_ack_sent(env);
    rcv_.wup = rcv_.nxt;
  }
  if (!armed(Timer::kRetransmit)) arm(Timer::kRetransmit, now + rto_.value(), env, now);
  return true;
}

void Connection::on_syn_sent(const TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env,
                             Instant now) {
  const bool ack = segment.has(kAck);
  if (ack && (segment.ack <= snd_.iss || segment.ack > snd_.nxt)) {
    if (!segment.has(kRst)) {
      busy_->reset = {.owed = true, .with_ack = false, .seq = segment.ack, .ack = {}};
      due_ = true;
    }
    // Some old connection of the peer answered: once it is reset, the next SYN may succeed, so it is sent
    // soon.
    if (retransmits_ == 0) arm(Timer::kRetransmit, now + kSoon, env, now);
    return drop(DropReason::kTcpInvalidAckSequence, env, now);
  }
  if (ack && timestamps_ && segment.options.timestamps && segment.options.timestamps->echo != 0) {
    // The echo must be of a SYN of ours (RFC 7323 §5.2; Linux: PAWSACTIVE).
    const std::uint32_t echo = segment.options.timestamps->echo;
    const bool between = SeqNum(echo) >= SeqNum(timestamp_clock(opened_at_.at(now))) &&
                         SeqNum(echo) <= SeqNum(timestamp_clock(now));
    if (!between) {
      env.counters.add(Counter::kTcpExtPAWSActive);
      if (!segment.has(kRst)) {
        busy_->reset = {.owed = true, .with_ack = false, .seq = segment.ack, .ack = {}};
        due_ = true;
      }
      return drop(DropReason::kTcpRfc7323Paws, env, now);
    }
  }
  if (segment.has(kRst)) {
    if (ack) return finish(CloseCause::kRefused, env, now);
    return drop(DropReason::kTcpReset, env, now);
  }
  if (!segment.has(kSyn)) return drop(DropReason::kTcpFlags, env, now);

  rcv_.irs = segment.seq;
  rcv_.nxt = rcv_.wup = rcv_.copied = segment.seq + 1;
  snd_.wl1 = segment.seq;
  snd_.peer_mss = segment.options.mss.value_or(536);
  sack_ = sack_ && segment.options.sack_permitted;
  // RFC 3168 §6.1.1: ECE alone agrees; with CWR it is our own SYN's bits reflected. A SYN must have both.
  ecn_.on = ecn_.wanted && segment.has(kEce) && segment.has(kCwr) != ack;
  window_scaling_ = window_scaling_ && segment.options.window_scale.has_value();
  snd_.wscale = window_scaling_ ? *segment.options.window_scale : std::uint8_t{0};
  if (!window_scaling_) {
    rcv_.wscale = 0;
    rcv_.window_clamp = std::min<std::uint32_t>(rcv_.window_clamp, 65535);
  }
  timestamps_ = timestamps_ && segment.options.timestamps.has_value();
  if (timestamps_) {
    ts_.recent = segment.options.timestamps->value;
    ts_.recent_at = StampS(now);
  }
  ts_.last_ack_sent = rcv_.nxt;
  if (options_->max_segment != 0) snd_.peer_mss = std::min(snd_.peer_mss, options_->max_segment);
  snd_.wnd = segment.window;  // never scaled on a SYN (RFC 7323 §2.2)
  snd_.max_wnd = std::max(snd_.max_wnd, snd_.wnd);
  mtu_search_.begin(snd_.peer_mss, header_bytes(), env.knobs, now);
  refresh_mss(env);
  last_received_at_ = StampMs(now);
  if (ack && timestamps_) rcv_.advmss = static_cast<std::uint16_t>(rcv_.advmss - kTimestampBytes);
  set_up_receive_window(rcv_.wnd, rcv_.window_clamp, env.knobs);

  if (!ack) return on_simultaneous_open(env, now);

  enter(State::kEstablished, env, now);
  AckEffects effects;
  effects.window_moved = true;
  on_ack(segment, effects, false, env, now);
  become_established(env, now);
  disarm(Timer::kRetransmit);
  retransmits_ = backoff_ = 0;
  on_fast_open_answer(segment, env, now);
  ack_policy_.on_connected(now);
  // Whoever waits to write sends the ACK along; should nothing come, it follows (Linux:
  // tcp_rcv_synsent_state_process).
  if (has_mark(kWriterWaits) || options_->defer_accept != 0) {
    clear_mark(kWriterWaits);
    ack_policy_.enter_quick(kQuickAcksMax, rcv_.wnd);
    ack_policy_.schedule();
    arm(Timer::kDelayedAck, now + env.knobs.tcp_delack_max, env, now);
  } else {
    ack_now_ = true;
  }
  // What a SYN-ACK carries besides is taken as of any segment (RFC 9293 §3.10.7.3, fifth; the data may be a
  // Fast Open server's).
  if (!segment.payload.empty() || segment.has(kFin)) {
    TcpSegment rest = segment;
    rest.seq = segment.seq + 1;
    rest.flags = static_cast<std::uint16_t>(segment.flags & ~kSyn);
    take_payload(rest, context, std::move(frame), env, now);
  }
}

// RFC 9293 figure 8: both ends sent a SYN.
void Connection::on_simultaneous_open(Env& env, Instant now) {
  enter(State::kSynReceived, env, now);
  syn_owed_ = true;
  due_ = true;
  disarm(Timer::kRetransmit);
}

}  // namespace tapir::tcp
