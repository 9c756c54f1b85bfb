// SPDX-License-Identifier: Apache-2.0
// A segment arrived: RFC 9293 §3.10.7, a step a call, in its order. Nothing is sent here; what is owed is
// noted.
#include <algorithm>

#include "tcp/connection.h"
#include "tcp/dsack.h"
#include "tcp/events.h"
#include "tcp/paws.h"

namespace tapir::tcp {

using trace::Counter;
using trace::DropReason;
using namespace wire;  // the names of flags and options

namespace {

// How far a timestamp may run backwards and still be believed (Linux: TCP_PAWS_WINDOW): reordering within a
// tick.
constexpr std::int32_t kPawsWindow = 1;

// The same for data, ms. What fills a hole was sent last, and its time is TS.Recent; what it overtook is
// older. To drop that, as Linux does, is to lose it: with 5 % of the segments held back for half a round trip
// each repair makes ten new holes. A sender's clock may tick once a second (RFC 7323 §5.4), and nobody could
// tell those times apart. At most the replay window that overtaken ACKs have.
std::int32_t overtaken_window(const Knobs& knobs, Duration rto) {
  const auto replay = std::chrono::duration_cast<std::chrono::milliseconds>(rto * 6 / 5).count();
  return static_cast<std::int32_t>(
      std::min<std::int64_t>(knobs.tcp_paws_window, std::max<std::int64_t>(replay, kPawsWindow)));
}

}  // namespace

void Connection::on_segment(const TcpSegment& segment, const SegmentContext& context, Frame frame, Env& env,
                            Instant now) {
  const auto size = static_cast<std::uint32_t>(segment.payload.size());
  const std::uint32_t pieces =
      context.gso_size == 0 ? 1 : std::max((size + context.gso_size - 1U) / context.gso_size, 1U);
  segments_in_ += pieces;
  if (size > 0) data_segments_in_ += pieces;  // whatever becomes of it (Linux: tcp_segs_in)
  trace_segment(Event::kSegmentIn, segment, size, env, now);
  if (state_ == State::kClosed) return;
  if (!wake(env)) return drop(DropReason::kMemory, env, now);
  one_send_ = false;
  if (!predicted(segment)) corked_now_ = false;
  if (state_ == State::kSynSent) return on_syn_sent(segment, context, std::move(frame), env, now);

  if (fast_open_pending() && check_fast_open(segment, env, now) == Verdict::kDone) return;
  if (check_timestamps(segment, env, now) == Verdict::kDone) return;
  if (check_sequence(segment, env, now) == Verdict::kDone) return;
  if (check_rst(segment, env, now) == Verdict::kDone) return;
  if (check_syn(segment, env, now) == Verdict::kDone) return;
  if (check_ack(segment, env, now) == Verdict::kDone) return;
  if (check_state(segment, env, now) == Verdict::kDone) return;
  check_urg(segment, env);
  take_payload(segment, context, std::move(frame), env, now);
  if (state_ == State::kClosed || time_wait_owed_) return;
  decide_ack(env, now);
  space_check_owed_ = no_space_;
  if (!mtu_search_.begun()) mtu_search_.begin(snd_.peer_mss, header_bytes(), env.knobs, now);
}

// What MSG_MORE holds leaves when a segment comes, save one that Linux expected: the next data of a peer that
// acknowledges nothing new takes the short way through tcp_rcv_established, which does not look at what waits
// to be sent.
bool Connection::predicted(const TcpSegment& segment) const {
  const bool plain =
      (segment.flags & ~kPsh) == kAck && !segment.payload.empty() && segment.options.sack_count == 0;
  return plain && state_ == State::kEstablished && segment.seq == rcv_.nxt && segment.ack == snd_.una &&
         std::uint32_t{segment.window} << snd_.wscale == snd_.wnd && busy_->reassembly.empty() &&
         busy_->urgent.byte == Urgent::Byte::kNone;
}

void Connection::drop(DropReason reason, Env& env, Instant now) {
  env.counters.drop(reason);
  env.tracer.emit(now, Event::kDrop, subject_, static_cast<std::uint64_t>(reason));
}

// ---- first: sequence number ----

// RFC 7323 §5.3, before anything else looks at the segment (Linux: tcp_validate_incoming,
// tcp_disordered_ack_check).
Connection::Verdict Connection::check_timestamps(const TcpSegment& segment, Env& env, Instant now) {
  if (!timestamps_ || !segment.options.timestamps) return Verdict::kContinue;
  const auto behind = static_cast<std::int32_t>(ts_.recent - segment.options.timestamps->value);
  // Some peers' SYNs carry a zero that is no time.
  if (behind <= kPawsWindow || ts_.recent == 0 || ts_.recent_at.age(now) >= kPawsIdle || segment.has(kRst))
    return Verdict::kContinue;
  const bool bare_ack = segment.has(kAck) && segment.sequence_length() == 0;
  if (!bare_ack && behind <= overtaken_window(env.knobs, rto_.value())) return Verdict::kContinue;
  // A pure ACK overtaken by its successor is harmless, and common with several queues, unless it would change
  // something. The peer's clock may have 1.2 ticks a millisecond.
  const bool disordered_ack = bare_ack && segment.seq == rcv_.nxt && segment.ack == snd_.una &&
                              !newer_window(segment, segment.ack) &&
                              std::chrono::milliseconds(behind) * 5 <= rto_.value() * 6;
  if (disordered_ack) return Verdict::kContinue;
  if (segment.has(kSyn)) return challenge_syn(env, now);
  if (bare_ack && segment.seq < rcv_.nxt) {
    env.counters.add(Counter::kTcpExtPAWSOldAck);
    drop(DropReason::kTcpRfc7323PawsAck, env, now);
    return Verdict::kDone;
  }
  env.counters.add(Counter::kTcpExtPAWSEstab);
  if (!out_of_window_limited(segment, Counter::kTcpExtTCPACKSkippedPAWS, env, now))
    owe_duplicate_ack(segment, env);
  drop(DropReason::kTcpRfc7323Paws, env, now);
  return Verdict::kDone;
}

// RFC 9293 §3.4, table 6, as Linux reads it: some of the segment in [rcv.wup, rcv.nxt + window], so that a
// segment sent before our last ACK is not answered as if it were wrong.
bool Connection::acceptable(SeqNum seq, SeqNum end) const {
  return end >= rcv_.wup && seq <= rcv_.nxt + receive_window();
}

Connection::Verdict Connection::check_sequence(const TcpSegment& segment, Env& env, Instant now) {
  // What ends beyond the window is taken whole, but only while nothing waits to be read: the peer may have
  // measured a buffer that we gave it once (Linux: tcp_sequence).
  const bool beyond = segment.end() > rcv_.nxt + receive_window();
  if (acceptable(segment.seq, segment.end()) && (!beyond || busy_->receive_queue.empty()))
    return Verdict::kContinue;
  if (!segment.has(kRst)) {
    if (beyond && !segment.has(kSyn)) env.counters.add(Counter::kTcpExtBeyondWindow);
    if (segment.has(kSyn)) {
      owe_challenge_ack(env, now);
    } else if (!out_of_window_limited(segment, Counter::kTcpExtTCPACKSkippedSeq, env, now)) {
      owe_duplicate_ack(segment, env);
    }
  }
  drop(segment.end() < rcv_.wup ? DropReason::kTcpOldSequence : DropReason::kTcpInvalidSequence, env, now);
  return Verdict::kDone;
}

// Segments without data that fall outside are answered at most once in tcp_invalid_ratelimit: two ends out of
// step must not fill the network with ACKs (Linux: tcp_oow_rate_limited).
bool Connection::out_of_window_limited(const TcpSegment& segment, Counter skipped, Env& env, Instant now) {
  if (!segment.payload.empty() && !segment.has(kSyn)) return false;
  if (last_out_of_window_at_.set() && last_out_of_window_at_.age(now) < env.knobs.tcp_invalid_ratelimit) {
    env.counters.add(skipped);
    return true;
  }
  last_out_of_window_at_ = StampMs(now);
  return false;
}

void Connection::owe_duplicate_ack(const TcpSegment& segment, Env& env) {
  if (segment.sequence_length() > 0 && segment.seq < rcv_.nxt) {
    ack_policy_.enter_quick(kQuickAcksMax, rcv_.wnd);
    owe_dsack(busy_->dsack, {segment.seq, min(segment.end(), rcv_.nxt)}, Counter::kTcpExtTCPDSACKOldSent,
              sack_, env);
  }
  env.counters.add(Counter::kTcpExtDelayedACKLost);
  ack_now_ = due_ = true;
}

// RFC 5961 §7, per connection: counting one's own challenge ACKs tells nothing of another connection
// (CVE-2016-5696).
void Connection::owe_challenge_ack(Env& env, Instant now) {
  if (last_challenge_at_.set() && last_challenge_at_.age(now) < env.knobs.tcp_invalid_ratelimit) {
    env.counters.add(Counter::kTcpExtTCPACKSkippedChallenge);
    return;
  }
  last_challenge_at_ = StampMs(now);
  env.counters.add(Counter::kTcpExtTCPChallengeACK);
  challenge_owed_ = due_ = true;
}

// ---- second: RST (RFC 9293 §3.10.7.4, RFC 5961 §3) ----

Connection::Verdict Connection::check_rst(const TcpSegment& segment, Env& env, Instant now) {
  if (!segment.has(kRst)) return Verdict::kContinue;
  // Exactly the next byte, or the right edge of the highest interval we told of: a sender that lost its state
  // answers a SACK with that.
  const bool exact = segment.seq == rcv_.nxt ||
                     (sack_ && !busy_->reassembly.empty() && segment.seq == busy_->reassembly.highest_end());
  if (!exact) {
    owe_challenge_ack(env, now);
    drop(DropReason::kTcpReset, env, now);
    return Verdict::kDone;
  }
  switch (state_) {
    case State::kCloseWait:
      finish(CloseCause::kResetAfterFin, env, now);
      break;
    default:
      finish(CloseCause::kReset, env, now);
      break;
  }
  return Verdict::kDone;
}

// ---- third and fourth: SYN (RFC 5961 §4) ----

Connection::Verdict Connection::check_syn(const TcpSegment& segment, Env& env, Instant now) {
  if (!segment.has(kSyn)) return Verdict::kContinue;
  // The SYN-ACK of a simultaneous open repeats the peer's SYN: its ACK is what counts.
  if (state_ == State::kSynReceived && segment.has(kAck) && segment.seq == rcv_.irs)
    return Verdict::kContinue;
  return challenge_syn(env, now);
}

Connection::Verdict Connection::challenge_syn(Env& env, Instant now) {
  env.counters.add(Counter::kTcpExtTCPSYNChallenge);
  owe_challenge_ack(env, now);
  drop(DropReason::kTcpInvalidSyn, env, now);
  return Verdict::kDone;
}

// ---- fifth: ACK ----

void Connection::note_timestamp(const TcpSegment& segment, Instant now) {
  if (!timestamps_ || !segment.options.timestamps) return;
  // RFC 7323 §4.3 (2): only a segment that covers the last ACK sent moves TS.Recent.
  if (segment.seq > ts_.last_ack_sent) return;
  const auto ahead = static_cast<std::int32_t>(segment.options.timestamps->value - ts_.recent);
  if (ahead < 0 && ts_.recent != 0 && ts_.recent_at.age(now) < kPawsIdle) return;
  ts_.recent = segment.options.timestamps->value;
  ts_.recent_at = StampS(now);
}

// RFC 9293 §3.10.7.4: the window of an older segment must not overwrite a newer one's (Linux:
// tcp_may_update_window).
bool Connection::newer_window(const TcpSegment& segment, SeqNum ack) const {
  const std::uint32_t window = told_window(segment);
  return ack > snd_.una || segment.seq > snd_.wl1 ||
         (segment.seq == snd_.wl1 && (window > snd_.wnd || window == 0));
}

void Connection::update_send_window(const TcpSegment& segment, SeqNum ack, bool& moved, Env& env,
                                    Instant now) {
  if (!newer_window(segment, ack)) return;
  const std::uint32_t window = told_window(segment);
  snd_.wl1 = segment.seq;
  if (snd_.wnd == window) return;
  snd_.wnd = window;
  moved = true;
  if (has_unsent()) restart_after_idle(env, now);
  if (window <= snd_.max_wnd) return;
  snd_.max_wnd = window;
  refresh_mss(env);
}

Connection::Verdict Connection::check_ack(const TcpSegment& segment, Env& env, Instant now) {
  if (!segment.has(kAck)) {
    drop(DropReason::kTcpFlags, env, now);
    return Verdict::kDone;
  }
  if (state_ == State::kSynReceived) {
    if (segment.ack <= snd_.iss || segment.ack > snd_.nxt) {
      busy_->reset = {.owed = true, .with_ack = false, .seq = segment.ack, .ack = {}};
      due_ = true;
      drop(DropReason::kTcpInvalidAckSequence, env, now);
      return Verdict::kDone;
    }
    snd_.wl1 = segment.seq - 1;
    enter(State::kEstablished, env, now);
    if (timestamps_ && !passive_) rcv_.advmss = static_cast<std::uint16_t>(rcv_.advmss - kTimestampBytes);
    become_established(env, now);
    if (!fast_open_pending()) {
      retransmits_ = backoff_ = 0;
      disarm(Timer::kRetransmit);
    }
    if (options_->send_shut) shutdown_send(env, now);
  }
  if (fast_open_pending() && segment.ack > snd_.iss && segment.ack <= snd_.nxt) finish_fast_open(env, now);
  // RFC 5961 §5.2: an ACK from before the oldest window is a guess.
  if (segment.ack < snd_.una) {
    if (segment.ack < snd_.una - snd_.max_wnd) {
      owe_challenge_ack(env, now);
      drop(DropReason::kTcpTooOldAck, env, now);
      return Verdict::kDone;
    }
    note_timestamp(segment, now);  // old, but its data may be new
    on_old_ack(segment, env, now);
    return Verdict::kContinue;
  }
  if (segment.ack > snd_.nxt) {
    owe_challenge_ack(env, now);
    drop(DropReason::kTcpAckUnsentData, env, now);
    return Verdict::kDone;
  }
  note_timestamp(segment, now);
  AckEffects effects;
  effects.carried_data = segment.sequence_length() > 0;
  update_send_window(segment, segment.ack, effects.window_moved, env, now);
  last_received_at_ = StampMs(now);
  probes_out_ = 0;
  on_ack(segment, effects, ecn_.on && segment.has(kEce), env, now);
  return state_ == State::kClosed ? Verdict::kDone : Verdict::kContinue;
}

// What the ACK means for the state (RFC 9293 §3.10.7.4, fifth, by state).
Connection::Verdict Connection::check_state(const TcpSegment& segment, Env& env, Instant now) {
  const bool fin_acked = fin_sent_ && snd_.una == snd_.nxt && busy_->scoreboard.empty();
  switch (state_) {
    case State::kFinWait1:
      if (!fin_acked) break;
      enter(State::kFinWait2, env, now);
      touch(kTouchedWritable);
      if (!orphan_) break;
      // Data beyond rcv.nxt ends it below. A FIN that comes along is taken below if it is in order; the timer
      // is for the one that is not.
      if (segment.has(kFin)) {
        arm(Timer::kKeepalive, now + fin_timeout(env), env, now);
      } else {
        enter_fin_wait_2_orphan(env, now);
        if (state_ == State::kClosed) return Verdict::kDone;
      }
      break;
    case State::kClosing:
      if (!fin_acked) break;
      enter(State::kTimeWait, env, now);
      time_wait_owed_ = true;
      return Verdict::kDone;
    case State::kLastAck:
      if (!fin_acked) break;
      finish(CloseCause::kNone, env, now);
      return Verdict::kDone;
    default:
      break;
  }
  // Nobody is left to read: data is answered with a RST, so that the peer does not wait for ever (RFC 9293
  // §3.6.1; RFC 2525 §2.17). A FIN that lies beyond a hole tells of data as well.
  const bool may_not_read = receive_shutdown_ && (state_ == State::kFinWait1 || state_ == State::kFinWait2);
  if (may_not_read && segment.sequence_length() > 0 &&
      segment.seq + static_cast<std::uint32_t>(segment.payload.size()) > rcv_.nxt) {
    env.counters.add(Counter::kTcpExtTCPAbortOnData);
    busy_->reset = {.owed = true, .with_ack = false, .seq = segment.ack, .ack = {}};
    due_ = true;
    finish(CloseCause::kReset, env, now);
    return Verdict::kDone;
  }
  return Verdict::kContinue;
}

// After data: now, with the next, or later (Linux: __tcp_ack_snd_check).
void Connection::decide_ack(Env& env, Instant now) {
  if (busy_->compressed_acks != 0 && armed(Timer::kCompressedAck)) return;  // that timer sends it
  if (ack_now_ || !ack_policy_.ack_owed()) return;
  const std::uint32_t unacked = rcv_.nxt - rcv_.wup;
  const bool more_than_one = unacked > ack_policy_.rcv_mss();
  const std::uint32_t offered = receive_window();
  // The second full segment is acknowledged at once when the window would not shrink by it, as a reader that
  // keeps up wants.
  const bool grows = more_than_one && window_from_space(receive_space()) >= offered;
  if (ack_policy_.due_now(unacked, grows)) {
    ack_now_ = true;
    return;
  }
  const Duration delay = ack_policy_.delay(rtt_.srtt(), env.knobs.rto_min, env.knobs);
  const Instant standing = deadline(Timer::kDelayedAck);
  if (standing != kNever && AckPolicy::nearly_due(standing, now, delay)) {
    ack_now_ = true;
    return;
  }
  arm(Timer::kDelayedAck, std::min(standing, now + delay), env, now);
}

}  // namespace tapir::tcp
