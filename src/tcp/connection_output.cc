// SPDX-License-Identifier: Apache-2.0
// Everything that leaves a connection leaves through poll_segment(). Asked in this order: abort's RST,
// challenge ACK, SYN and SYN-ACK, what is to be sent again, a tail probe, a probe of the path's MTU, new data
// (the FIN on its last), FIN, a window probe, an ACK owed.
#include <algorithm>
#include <bit>

#include "base/assert.h"
#include "tcp/connection.h"
#include "tcp/events.h"

namespace tapir::tcp {

using trace::Counter;
using namespace wire;  // the names of flags and options

namespace {

// How long an ACK may be away that a super-segment waits for, and how long ago the last one may have left
// (Linux: tcp_tso_should_defer).
constexpr Duration kDeferMax = 1ms;

}  // namespace

bool Connection::output_wanted() const {
  if (busy_->reset.owed || challenge_owed_ || syn_owed_ || ack_now_ || probe_owed_ || space_check_owed_ ||
      busy_->tail_probe_owed)
    return true;
  if (state_ == State::kClosed) return false;
  if (busy_->recovery.resending()) return true;
  return unsent_wanted() || fin_due();
}

// All that waits is less than a segment, held back until the program goes on: poll_new_data() would answer
// nothing, and change nothing.
bool Connection::cork_holds() const {
  if ((!corked_ && !corked_now_) || push_now_ || fin_due() || busy_->urgent.sending ||
      busy_->unsent.count() != 1)
    return false;
  const std::size_t waits = unsent_bytes();
  return waits < mss_now_ && waits < snd_.mss && busy_->reassembly.empty() && busy_->dsack.empty() &&
         snd_.nxt + static_cast<std::uint32_t>(waits) <= snd_.una + snd_.wnd &&
         busy_->scoreboard.in_flight() < window_.cwnd;
}

// A server that corks its answers writes them in pieces, none of which is worth a look at the output. With
// nothing in flight the timer that lets go of what is held must run first.
bool Connection::unsent_wanted() const {
  if (!has_unsent()) return false;
  return !cork_holds() || (busy_->scoreboard.empty() && !armed(Timer::kProbe));
}

bool Connection::poll_segment(OutgoingFrame& out, Env& env, Instant now) {
  due_ = false;
  out.clear();
  ect_ = false;
  if (!busy_ && (!output_wanted() || !wake(env))) return false;
  if (poll_reset(out, env, now)) return true;
  if (state_ == State::kClosed) return false;
  if (poll_challenge(out, env, now)) return true;
  mss_now_ = current_mss(now);
  if (fast_open_pending() && syn_owed_) return emit_fast_open_syn_ack(out, env, now);
  // Nothing is sent again before the SYN-ACK is answered.
  if (!fast_open_pending() && poll_resend(out, env, now)) return true;
  if (state_ == State::kSynSent || (state_ == State::kSynReceived && !fast_open_pending())) {
    if (syn_owed_) return emit_syn(out, env, now);
    return state_ == State::kSynReceived && poll_ack(out, env, now);
  }
  if (poll_tail_probe(out, env, now)) return true;
  if (poll_new_data(out, env, now)) return true;
  if (busy_->recovery.new_data_failed(snd_.nxt) && poll_resend(out, env, now)) return true;
  if (poll_fin(out, env, now)) return true;
  if (poll_probe(out, env, now)) return true;
  arm_probe_if_stuck(env, now);
  if (poll_ack(out, env, now)) return true;
  if (space_check_owed_) {
    space_check_owed_ = false;
    check_writable(env, now);
  }
  return false;
}

// ---- building ----

void Connection::trace_segment(Event event, const TcpSegment& segment, std::uint32_t payload, Env& env,
                               Instant now) const {
  if (!env.tracer.on()) [[likely]]
    return;
  const SegmentWords words = pack_segment(segment, payload);
  env.tracer.emit(now, event, subject_, words.a, words.b, words.c, words.d);
}

std::uint32_t Connection::timestamp_clock(Instant now) const {
  return static_cast<std::uint32_t>(to_msec(now.time_since_epoch())) + ts_.offset;
}

TcpOptions Connection::common_options(Instant now) const {
  TcpOptions options;
  if (timestamps_) options.timestamps = TcpTimestamps{timestamp_clock(now), ts_.recent};
  if (signs()) options.md5.emplace();
  return options;
}

// SACK blocks take their bytes from the payload of the segments that carry them (Linux: tcp_current_mss).
std::uint16_t Connection::current_mss(Instant now) const {
  if (!sack_ || (busy_->reassembly.empty() && busy_->dsack.empty())) return snd_.mss;
  TcpOptions options = common_options(now);
  const std::size_t without = tcp_options_length(options, false);
  options.sack_count = static_cast<std::uint8_t>(collect_sack_blocks(options));
  return static_cast<std::uint16_t>(snd_.mss - (tcp_options_length(options, false) - without));
}

// RFC 2018 §4: the block of the latest segment first; a D-SACK (RFC 2883) before it.
std::size_t Connection::collect_sack_blocks(TcpOptions& options) const {
  if (!sack_) return 0;
  const std::size_t fits = sack_blocks_that_fit(options);
  std::size_t count = 0;
  if (!busy_->dsack.empty()) options.sack[count++] = SackBlock{busy_->dsack.begin, busy_->dsack.end};
  if (!busy_->reassembly.empty() && count < fits) {
    std::array<SackBlock, kSackBlocksMax> blocks{};
    const std::size_t found = busy_->reassembly.sack_blocks(blocks, fits - count, rcv_.nxt);
    for (std::size_t i = 0; i < found; ++i) options.sack[count++] = blocks[i];
  }
  return count;
}

// The one place where a segment of a synchronised connection becomes bytes. `payload` lies in the send
// buffer.
void Connection::emit(OutgoingFrame& out, std::uint16_t flags, SeqNum seq, SeqRange payload, Env& env,
                      Instant now, bool fresh) {
  TcpSegment segment;
  segment.src_port = tuple_.local.port;
  segment.dst_port = tuple_.remote.port;
  segment.seq = seq;
  segment.flags = flags;
  if (ecn_.on) {
    // Data sent for the first time is ECN-capable, nothing else is (RFC 3168 §6.1.5), and tells of a cut
    // window (§6.1.2).
    ect_ = fresh && !payload.empty();
    if (ect_ && ecn_.cwr_owed) {
      segment.flags |= kCwr;
      ecn_.cwr_owed = false;
    }
    if (ecn_.demand_cwr) segment.flags |= kEce;
  }
  segment.options = common_options(now);
  if ((flags & kAck) != 0) {
    segment.ack = rcv_.nxt;
    segment.options.sack_count = static_cast<std::uint8_t>(collect_sack_blocks(segment.options));
    busy_->dsack = {};
  }
  mark_urgent(segment);
  const std::uint32_t window = choose_window(env) >> rcv_.wscale;
  segment.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(window, 65535));
  const std::size_t length = tcp_header_length(segment.options, false);
  const MutableBytes header = out.append_header(length);
  emit_tcp(segment, header);
  if (!payload.empty()) {
    const std::size_t collected = busy_->send_buffer.collect(payload, out);
    TAPIR_INVARIANT(collected == payload.length(), "a frame can point at all that it sends");
    notes_on_sent(payload, env, now);
  }
  out.checksum = {.wanted = true, .start = 0, .offset = static_cast<std::uint16_t>(kTcpChecksumOffset)};
  if (payload.length() > mss_now_) out.gso = {.type = GsoType::kTcpV4, .size = mss_now_};

  path_used_ = path_grew_;
  const std::uint32_t segments =
      payload.length() <= mss_now_ ? 1 : (payload.length() + mss_now_ - 1) / mss_now_;
  segments_out_ += segments;
  env.counters.add(Counter::kTcpOutSegs, segments);
  trace_segment(Event::kSegmentOut, segment, payload.length(), env, now);
  if ((flags & kAck) != 0) note_ack_sent(env);
  if (payload.empty()) return;
  last_sent_at_ = now;
  ack_policy_.on_data_sent(now);
}

void Connection::note_ack_sent(Env& env) {
  if (busy_->compressed_acks != 0) {
    env.counters.add(Counter::kTcpExtTCPAckCompressed, busy_->compressed_acks);
    busy_->compressed_acks = 0;
  }
  ack_now_ = false;
  ts_.last_ack_sent = rcv_.nxt;
  ack_policy_.on_ack_sent(1);
  disarm(Timer::kDelayedAck);
  disarm(Timer::kCompressedAck);
}

// ---- RST, challenge ACK ----

bool Connection::poll_reset(OutgoingFrame& out, Env& env, Instant now) {
  if (!busy_->reset.owed) return false;
  busy_->reset.owed = false;
  TcpSegment segment;
  segment.src_port = tuple_.local.port;
  segment.dst_port = tuple_.remote.port;
  segment.seq = busy_->reset.seq;
  segment.flags = kRst;
  if (busy_->reset.with_ack) {
    segment.flags |= kAck;
    segment.ack = busy_->reset.ack;
    if (timestamps_ && state_ != State::kSynSent) segment.options = common_options(now);
  }
  if (signs()) segment.options.md5.emplace();
  const MutableBytes header = out.append_header(tcp_header_length(segment.options, false));
  emit_tcp(segment, header);
  out.checksum = {.wanted = true, .start = 0, .offset = static_cast<std::uint16_t>(kTcpChecksumOffset)};
  if (busy_->reset.with_ack)
    ++segments_out_;  // one that only answers a segment is not the connection's (Linux: tcp_v4_send_reset)
  env.counters.add(Counter::kTcpOutSegs);
  env.counters.add(Counter::kTcpOutRsts);
  trace_segment(Event::kSegmentOut, segment, 0, env, now);
  return true;
}

bool Connection::poll_challenge(OutgoingFrame& out, Env& env, Instant now) {
  if (!challenge_owed_) return false;
  challenge_owed_ = false;
  if (state_ == State::kSynSent) return false;
  emit(out, kAck, snd_.nxt, {}, env, now);
  return true;
}

// ---- sending again ----

bool Connection::poll_resend(OutgoingFrame& out, Env& env, Instant now) {
  Transmission* record = busy_->recovery.poll(busy_->scoreboard);
  if (record == nullptr) return false;
  if (record->syn) return emit_syn(out, env, now);
  if (pace_holds(env, now)) return false;
  const bool head = record == busy_->scoreboard.first();
  const std::uint32_t in_flight = busy_->scoreboard.in_flight();
  if (in_flight >= window_.cwnd) {
    busy_->recovery.pause();
    return false;
  }
  // A closed or shrunk window does not stop the head: that is how a zero-window peer is asked (RFC 9293
  // §3.8.6).
  const SeqNum right_edge = snd_.una + snd_.wnd;
  if (record->range.begin >= right_edge && !head) {
    busy_->recovery.pause();
    return false;
  }

  if (env.knobs.tcp_retrans_collapse != 0) join_small(*record, right_edge, env);
  const std::uint32_t quota = std::min(window_.cwnd - in_flight, max_segments_per_send(env));
  std::uint32_t length = std::min(record->payload(), quota * mss_now_);
  const SeqNum begin = record->range.begin;
  if (begin + length > right_edge) {
    const std::uint32_t open = begin < right_edge ? right_edge - begin : 0;
    length = std::max(open / mss_now_ * mss_now_, std::min<std::uint32_t>(mss_now_, record->payload()));
  }
  const bool whole = length == record->payload();
  const SeqNum end = whole ? record->range.end : begin + length;
  Transmission* const sent =
      busy_->scoreboard.on_resent(*record, end, mss_now_, now, snd_.nxt, env.transmissions);
  if (sent == nullptr) {
    env.counters.add(Counter::kTcpExtTCPRetransFail);
    busy_->recovery.pause();
    return false;
  }
  std::uint16_t flags = kAck;
  if (sent->fin) flags |= kFin;
  if (sent->push || sent->payload() > mss_now_) flags |= kPsh;
  const std::uint32_t segments = sent->segments();
  const std::uint32_t payload = sent->payload();
  note_transmission(*sent, payload, false, env, now);
  emit(out, flags, begin, {begin, begin + payload}, env, now);
  busy_->recovery.on_resent(segments, now, busy_->retransmits_began);
  note_resent(segments, payload, env);
  env.counters.add(busy_->recovery.state() == CaState::kLoss ? Counter::kTcpExtTCPSlowStartRetrans
                                                             : Counter::kTcpExtTCPFastRetrans,
                   segments);
  env.tracer.emit(now, Event::kRetransmit, subject_, begin.value(), payload,
                  static_cast<std::uint64_t>(busy_->recovery.state()), segments);
  if (head && !rto_resend_ && !armed(Timer::kReorder))
    arm_loss(Timer::kRetransmit, now + rto_.value(), env, now);
  rto_resend_ = false;
  if (!armed(Timer::kRetransmit) && !armed(Timer::kReorder))
    arm_loss(Timer::kRetransmit, now + rto_.value(), env, now);
  return true;
}

// Small segments that follow one that goes again go with it, as far as one segment takes them (Linux:
// tcp_retrans_try_collapse).
void Connection::join_small(Transmission& record, SeqNum right_edge, Env& env) {
  if (record.syn || record.segments() != 1 || record.range.begin >= right_edge) return;
  const std::uint32_t room = std::min<std::uint32_t>(mss_now_, right_edge - record.range.begin);
  while (!record.end_of_record && !record.fin) {
    const Transmission* const after = busy_->scoreboard.next(record);
    if (after == nullptr || after->sacked || after->segments() > 1) return;
    if (record.payload() + after->payload() > room) return;
    busy_->scoreboard.absorb_next(record, env.transmissions);
  }
}

void Connection::note_resent(std::uint32_t segments, std::uint32_t payload, Env& env) {
  total_retransmits_ += segments;
  bytes_retransmitted_ += payload;
  bytes_sent_ += payload;
  if (payload > 0) data_segments_out_ += segments;
  env.counters.add(Counter::kTcpRetransSegs, segments);
}

// ---- when ----

// SO_MAX_PACING_RATE, or a fair queue below: the next segment has its time (Linux: tcp_pacing_check).
bool Connection::pace_holds(Env& env, Instant now) {
  if (!paced(env) || !busy_->pacer.holds(now)) return false;
  arm(Timer::kPace, busy_->pacer.next(), env, now);
  return true;
}

// `t` leaves now; `first`: nothing else is in flight.
void Connection::note_transmission(Transmission& t, std::uint32_t payload, bool first, Env& env,
                                   Instant now) {
  rate_.on_sent(t, first, busy_->flight, now);
  if (paced(env))
    busy_->pacer.on_sent(payload, data_segments_out_ < kUnpacedSegments ? 0 : window_.pacing_rate, now);
}

// ---- new data ----

// Linux: tcp_tso_autosize. About a millisecond of the pacing rate, more when the peer is near, at least
// tcp_min_tso_segs.
std::uint32_t Connection::max_segments_per_send(const Env& env) const {
  // The pointer counts from each segment's own start: no device can copy it.
  // Each segment has its own signature, too.
  const std::uint64_t gso_max = gso_max_size(env);
  if (gso_max == 0 || busy_->urgent.sending || signs()) return 1;
  std::uint64_t bytes = std::min<std::uint64_t>(window_.pacing_rate >> 10, gso_max);
  if (rtt_.min_rtt() != Duration::max() && env.knobs.tcp_tso_rtt_log > 0) {
    const std::uint64_t shift = to_usec(rtt_.min_rtt()) >> env.knobs.tcp_tso_rtt_log;
    if (shift < 32) bytes += gso_max >> shift;
  }
  bytes = std::min(bytes, gso_max - 1);
  std::uint32_t segments = std::max<std::uint32_t>(static_cast<std::uint32_t>(bytes / mss_now_),
                                                   static_cast<std::uint32_t>(env.knobs.tcp_min_tso_segs));
  segments = std::min<std::uint32_t>(segments, static_cast<std::uint32_t>((gso_max - 1) / mss_now_));
  if (path_->offloads.gso_max_segs != 0)
    segments = std::min<std::uint32_t>(segments, path_->offloads.gso_max_segs);
  return std::max<std::uint32_t>(segments, 1);
}

// RFC 9293 §3.7.4 with Minshall's change: a partial segment waits while another partial one is in flight, not
// while any is.
bool Connection::nagle_holds(bool partial) const {
  if (!partial || push_now_ || busy_->urgent.sending) return false;
  if (corked_ || corked_now_) return true;
  if (options_->no_delay || busy_->scoreboard.empty()) return false;
  return snd_.sml > snd_.una && snd_.sml <= snd_.nxt;
}

// Linux: tcp_tso_should_defer. An ACK that is about to come would let a larger super-segment go.
bool Connection::should_defer(std::uint32_t record_left, bool last_record, std::uint32_t max_segments,
                              bool ends_stream, Env& env, Instant now, bool& cwnd_limited) const {
  if (busy_->recovery.state() >= CaState::kRecovery) return false;
  if (now - last_sent_at_ >= kDeferMax) return false;
  // A small window that gathers lets the line run dry.
  if (window_.cwnd < static_cast<std::uint32_t>(env.knobs.tcp_tso_defer_cwnd)) return false;
  const std::uint64_t send_window = snd_.una + snd_.wnd - snd_.nxt;
  const std::uint64_t congestion_window =
      std::uint64_t{window_.cwnd - busy_->scoreboard.in_flight()} * mss_now_;
  const std::uint64_t limit = std::min(send_window, congestion_window);
  if (limit >= std::uint64_t{max_segments} * mss_now_) return false;
  if (!last_record && limit >= record_left) return false;
  if (env.knobs.tcp_tso_win_divisor > 0) {
    const std::uint64_t chunk = std::min<std::uint64_t>(snd_.wnd, std::uint64_t{window_.cwnd} * mss_now_) /
                                static_cast<std::uint64_t>(env.knobs.tcp_tso_win_divisor);
    if (limit >= chunk) return false;
  } else if (limit > std::uint64_t{3} * mss_now_) {
    return false;
  }
  const Transmission* const head = busy_->scoreboard.first();
  if (head == nullptr) return false;
  // The next ACK comes a round trip after the head was sent: too late if that is more than half of one from
  // now, or a millisecond.
  if (head->sent_at + rtt_.srtt() - now > std::min<Duration>(rtt_.srtt() / 2, kDeferMax)) return false;
  if (congestion_window < send_window) {
    if (congestion_window <= record_left) {
      cwnd_limited = true;
      return true;
    }
  } else if (send_window <= record_left) {
    return true;
  }
  return !ends_stream;
}

// How many bytes of `record`, the first, may leave now; 0: none. It grows from the next one when more of it
// could (Linux: tcp_write_xmit).
std::uint32_t Connection::next_segment_limit(UnsentRecord& record, Env& env, Instant now,
                                             bool& cwnd_limited) {
  const std::uint32_t in_flight = busy_->scoreboard.in_flight();
  if (in_flight >= window_.cwnd) {
    cwnd_limited = true;
    return 0;
  }
  const std::uint32_t mss = mss_now_;
  const std::uint32_t max_segments = max_segments_per_send(env);
  // At most half the window at once, so that two super-segments are in flight and ACKs come evenly (Linux:
  // tcp_cwnd_test).
  const std::uint32_t quota =
      std::min({std::max<std::uint32_t>(window_.cwnd / 2, 1), window_.cwnd - in_flight, max_segments});
  const std::uint64_t most = std::uint64_t{quota} * mss;
  if (env.knobs.tcp_grow_segments != 0 && record.end - record.begin < most)
    busy_->unsent.grow_front(static_cast<std::uint32_t>(most - (record.end - record.begin)), env.unsent);
  const SeqNum right_edge = snd_.una + snd_.wnd;
  const std::uint32_t left = record.end - record.begin;
  if (record.begin + std::min(left, mss) > right_edge) return 0;
  const bool last = busy_->unsent.count() == 1;
  const bool ends_stream = last && fin_due();
  if (left <= mss) {
    const bool holds = last && !ends_stream && nagle_holds(left < mss);
    return holds ? 0 : left;
  }
  if (!one_send_ &&
      should_defer(left, last, max_segments, ends_stream || record.end_of_record, env, now, cwnd_limited))
    return 0;
  const std::uint32_t window = right_edge - record.begin;
  if (most <= window && !last && most < left) return static_cast<std::uint32_t>(most);
  const std::uint32_t needed = std::min(left, window);
  if (most <= needed) return static_cast<std::uint32_t>(most);
  const std::uint32_t partial = needed % mss;
  // Behind whole segments a partial one goes up to the window's edge, or to the end of the data, unless
  // Nagle's rule holds it (Linux: tcp_mss_split_point).
  const bool cut = partial != 0 && (needed < left || (last && !ends_stream)) && nagle_holds(true);
  return cut && needed > partial ? needed - partial : needed;
}

bool Connection::poll_new_data(OutgoingFrame& out, Env& env, Instant now) {
  UnsentRecord* const record = busy_->unsent.front(env.unsent);
  if (record == nullptr || (one_send_ && (one_sent_ || busy_->unsent.count() > 1))) return false;
  if (pace_holds(env, now)) return false;
  bool wait = false;
  if (poll_mtu_probe(out, wait, env, now)) return true;
  if (wait) return false;
  const bool window_closed =
      record->begin + std::min<std::uint32_t>(record->end - record->begin, mss_now_) > snd_.una + snd_.wnd;
  bool cwnd_limited = false;
  const std::uint32_t length = next_segment_limit(*record, env, now, cwnd_limited);
  if (length == 0) {
    const bool full = cwnd_limited || busy_->scoreboard.in_flight() >= window_.cwnd;
    if (full) validate_window(true, env, now);
    if (window_closed && busy_->scoreboard.in_flight() < window_.cwnd)
      chronograph_.start(Chronograph::What::kReceiveWindow, now);
    else
      chronograph_.stop(Chronograph::What::kReceiveWindow, false, now);
    return false;
  }
  chronograph_.stop(Chronograph::What::kReceiveWindow, false, now);
  if (!send_new(out, *record, length, env, now)) return false;
  validate_window(cwnd_limited || busy_->scoreboard.in_flight() >= window_.cwnd, env, now);
  return true;
}

// The first `length` bytes of `record`, the first that waits, leave now.
bool Connection::send_new(OutgoingFrame& out, UnsentRecord& record, std::uint32_t length, Env& env,
                          Instant now) {
  const bool whole = length == record.end - record.begin;
  const bool with_fin = whole && busy_->unsent.count() == 1 && fin_due();
  const SeqNum begin = record.begin;
  const SeqNum end = begin + length;
  const bool first = busy_->scoreboard.empty();
  const bool resumes = busy_->scoreboard.in_flight() == 0;
  Transmission* const sent = busy_->scoreboard.on_sent({begin, with_fin ? end + 1 : end}, mss_now_, now,
                                                       env.transmissions, false, with_fin);
  if (sent == nullptr) return false;
  sent->push = whole && record.push;
  sent->end_of_record = whole && record.end_of_record;
  if (resumes) control_->on_transmit_start(now, last_sent_at_);
  note_transmission(*sent, length, first, env, now);

  // A super-segment always carries PSH: the receiver's GRO may hand it up at once (Linux does the same).
  std::uint16_t flags = kAck;
  if (sent->push || length > mss_now_) flags |= kPsh;
  if (with_fin) flags |= kFin;
  snd_.nxt = sent->range.end;
  if (whole)
    busy_->unsent.pop_front(env.unsent);
  else
    record.begin = end;
  if (with_fin) fin_sent_ = true;
  const std::uint32_t segments = sent->segments();
  one_sent_ = true;
  emit(out, flags, begin, {begin, end}, env, now, true);
  busy_->recovery.on_new_data_sent(segments);
  data_segments_out_ += segments;
  bytes_sent_ += length;
  env.counters.add(Counter::kTcpExtTCPOrigDataSent, segments);
  note_data_sent(end, length % mss_now_ != 0, first, env, now);
  return true;
}

// New data, or a FIN, left; `first`: nothing else was in flight.
void Connection::note_data_sent(SeqNum end, bool partial, bool first, Env& env, Instant now) {
  if (partial) snd_.sml = end;
  note_queue_sent(first, env, now);
}

void Connection::note_queue_sent(bool first, Env& env, Instant now) {
  disarm(Timer::kProbe);
  const bool loss_timer = armed(Timer::kRetransmit) || armed(Timer::kReorder);
  if (first || armed(Timer::kTailProbe) || !loss_timer) rearm_retransmit(env, now);
  schedule_tail_probe(false, env, now);
}

bool Connection::poll_fin(OutgoingFrame& out, Env& env, Instant now) {
  if (!fin_due() || has_unsent()) return false;
  const SeqNum seq = stream_end();
  const bool first = busy_->scoreboard.empty();
  Transmission* const sent =
      busy_->scoreboard.on_sent({seq, seq + 1}, mss_now_, now, env.transmissions, false, true);
  if (sent == nullptr) return false;
  rate_.on_sent(*sent, first, busy_->flight, now);
  fin_sent_ = true;
  snd_.nxt = seq + 1;
  emit(out, kFin | kAck, seq, {}, env, now);
  note_queue_sent(first, env, now);
  return true;
}

// A closed window is asked with a sequence number from before it, so that the answer is an ACK and nothing is
// taken (as Linux does; RFC 9293 §3.8.4 describes it for keepalives). An open one is asked with the data that
// waited.
bool Connection::poll_probe(OutgoingFrame& out, Env& env, Instant now) {
  if (!probe_owed_) return false;
  probe_owed_ = false;
  UnsentRecord* const record = busy_->unsent.front(env.unsent);
  const SeqNum right_edge = snd_.una + snd_.wnd;
  if (probe_data_ && record != nullptr && record->begin < right_edge) {
    const std::uint32_t length = std::min(
        {record->end - record->begin, static_cast<std::uint32_t>(mss_now_), right_edge - record->begin});
    const SeqNum begin = record->begin;
    const SeqNum end = begin + length;
    const bool first = busy_->scoreboard.empty();
    Transmission* const sent = busy_->scoreboard.on_sent({begin, end}, mss_now_, now, env.transmissions);
    if (sent == nullptr) return false;
    rate_.on_sent(*sent, first, busy_->flight, now);
    sent->push = true;
    if (end == record->end)
      busy_->unsent.pop_front(env.unsent);
    else
      record->begin = end;
    snd_.nxt = end;
    // From here on it is data like any other (Linux: tcp_send_probe0).
    probes_out_ = backoff_ = 0;
    busy_->probes_began = {};
    emit(out, kAck | kPsh, begin, {begin, end}, env, now, true);
    ++data_segments_out_;
    bytes_sent_ += length;
    // What a timer let go does not hold back what is written next (Linux: tcp_write_wakeup keeps snd_sml).
    note_queue_sent(first, env, now);
    return true;
  }
  emit(out, kAck, snd_.una - 1, {}, env, now);
  return true;
}

bool Connection::poll_ack(OutgoingFrame& out, Env& env, Instant now) {
  if (!ack_now_) return false;
  // RFC 9293 §3.10.7.4: an ACK's own sequence number is snd.nxt, unless the window shrank below it.
  emit(out, kAck, snd_.nxt, {}, env, now);
  return true;
}

}  // namespace tapir::tcp
